# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's network on the command line, against a real controller."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_controller import RunningController

from metalwright.config import Settings
from metalwright.store import Store
from metalwright.store.models import Interface, IpRange, Machine, Subnet

BONDED = """\
interfaces:
  - {name: bond0, type: bond, members: [eth0, eth1], links: [{mode: auto}]}
"""


@pytest.fixture(scope="module", autouse=True)
def _machine(controller: RunningController) -> None:
    store = Store(Settings(data_dir=controller.data).database)
    with store.write() as session:
        static = IpRange(kind="static", start="10.9.0.10", end="10.9.0.19")
        session.add(Subnet(name="rack", cidr="10.9.0.0/24", ranges=[static]))
        cards = [Interface(mac=f"52:54:00:23:00:0{place}", name=f"eth{place}", boot=place == 0) for place in range(2)]
        session.add(Machine(name="bonded", state="ready", hardware={"disks": [], "nics": []}, interfaces=cards))
    store.engine.dispose()


def test_a_network_is_tried_declared_shown_and_reset(controller: RunningController, tmp_path: Path) -> None:
    file = tmp_path / "network.yml"
    file.write_text(BONDED)
    tried = controller.cli("machine", "network", "set", "bonded", str(file), "--dry-run").stdout
    assert tried.startswith("bonded: would change\n") and "10.9.0.10" in tried
    assert "It has no address yet." in controller.cli("machine", "network", "show", "bonded").stderr
    assert controller.cli("machine", "network", "set", "bonded", str(file)).stdout.startswith("bonded: changed\n")
    assert controller.cli("machine", "network", "set", "bonded", str(file)).stdout.startswith("bonded: unchanged\n")
    shown = controller.cli("machine", "network", "show", "bonded").stdout
    assert "- name: bond0\n  type: bond\n" in shown and "10.9.0.10" in shown
    file.write_text(BONDED.replace("eth1", "eth7"))
    refused = controller.cli("machine", "network", "set", "bonded", str(file))
    assert (
        refused.returncode != 0
        and "bond bond0 is made of eth7" in refused.stderr
        and "eth1 (52:54:00:23:00:01)" in refused.stderr
    )
    assert controller.json("machine", "network", "reset", "bonded")["interfaces"] == []


@pytest.mark.parametrize(("text", "said"), [("interfaces: 7", "no list of interfaces"), ("a: [", "is not YAML")])
def test_a_file_that_is_none_is_named(controller: RunningController, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "network.yml"
    file.write_text(text)
    refused = controller.cli("machine", "network", "set", "bonded", str(file))
    assert refused.returncode != 0 and said in refused.stderr and str(file) in refused.stderr
