# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and pools on the command line, against a real controller."""

from __future__ import annotations

import json

import pytest
from running_controller import RunningController

from metalwright.config import Settings
from metalwright.store import Store
from metalwright.store.models import Interface, Machine


@pytest.fixture(scope="module", autouse=True)
def _machines(controller: RunningController) -> None:
    store = Store(Settings(data_dir=controller.data).database)
    with store.write() as session:
        for number, memory in enumerate((16, 256)):
            hardware = {"memory": {"bytes": memory << 30}, "disks": [], "nics": []}
            machine = Machine(name=f"node-{number}", state="ready", hardware=hardware, serial=f"S{number}")
            machine.interfaces = [Interface(mac=f"52:54:00:22:00:0{number}", boot=True)]
            session.add(machine)
    store.engine.dispose()


def test_a_rule_is_tried_set_applied_and_deleted(controller: RunningController) -> None:
    rule = ("rule", "set", "large", "--when", "memory >= 64GiB", "--tag", "large", "--pool", "fast", "--hostname", "big-{serial}")
    tried = controller.cli(*rule, "--dry-run")
    assert "nothing was changed" in tried.stdout and "node-1" in tried.stdout and "node-0" not in tried.stdout
    assert "There are no rules." in controller.cli("rule", "list").stderr
    done = controller.cli(*rule)
    assert done.stdout.startswith("large: set") and "rule apply --rule large" in done.stderr
    assert controller.cli(*rule).stdout.startswith("large: unchanged")
    listed = controller.cli("rule", "list").stdout
    assert "memory >= 64GiB" in listed and "tag +large, pool fast, name big-{serial}" in listed
    assert controller.json("rule", "matches", "large") == [{"machine": "node-1"}]
    would = controller.cli("rule", "apply", "--dry-run")
    assert "node-1: tags: - -> large" in would.stdout and "1 of 2 machines would change" in would.stderr
    assert controller.json("machine", "show", "node-1")["pool"] == "default"
    assert "node-1: name: node-1 -> big-s1" in controller.cli("rule", "apply").stdout
    assert controller.json("machine", "show", "big-s1")["pool"] == "fast"
    assert controller.json("rule", "show", "large")["actions"]["add_tags"] == ["large"]
    assert "then" in controller.cli("rule", "show", "large").stdout
    assert controller.cli("rule", "delete", "large", "--yes").returncode == 0
    assert controller.cli("rule", "show", "large").returncode != 0


def test_a_wrong_condition_is_refused_with_the_place_and_a_proposal(controller: RunningController) -> None:
    refused = controller.cli("rule", "set", "bad", "--when", "memroy >= 64GiB", "--tag", "x")
    assert refused.returncode != 0
    assert "column 1" in refused.stderr and "Did you mean memory?" in refused.stderr


def test_pools_are_set_changed_listed_and_deleted(controller: RunningController) -> None:
    assert controller.cli("pool", "set", "vault", "--erase", "secure").stdout == "vault: a release erases secure\n"
    assert controller.cli("pool", "set", "vault", "--description", "for keys").returncode == 0
    found = {pool["name"]: pool for pool in json.loads(controller.cli("pool", "list", "--json").stdout)}
    assert (found["vault"]["erase"], found["vault"]["description"]) == ("secure", "for keys")
    assert "for keys" in controller.cli("pool", "list").stdout
    assert controller.cli("pool", "delete", "vault", "--yes").stdout == "vault: deleted\n"
