# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright network`` on the controller's host: what the site's own servers were not told, and what an engine refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalwright.cli import main
from metalwright.errors import Unavailable
from metalwright.network.engines import Change
from metalwright.network.engines.configuration import Configuration
from metalwright.network.engines.external import External
from metalwright.network.model import NetworkState
from metalwright.store import Store
from metalwright.store.base import utcnow
from metalwright.store.models import Subnet


@pytest.fixture
def config(tmp_path: Path, store: Store) -> Path:
    with store.write() as session:
        session.add(Subnet(name="rack1", cidr="10.0.0.0/24", created_at=utcnow()))
    path = tmp_path / "metalwright.toml"
    write(path, store, 'engine = "external"')
    return path


def write(path: Path, store: Store, dhcp: str) -> None:
    path.write_text(
        f'data_dir = "{path.parent / "engine"}"\ndatabase_url = "{store.engine.url}"\n[node]\nurl = "http://10.0.0.1"\n[dhcp]\n{dhcp}\n'
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["network", *arguments])
    found = capsys.readouterr()
    return code, found.out + found.err


def test_what_the_sites_servers_were_not_told(config: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    hook = config.with_name("hook")
    hook.write_text(f"#!/bin/sh\ncat > {config.with_name('told')}; exit $(cat {config.with_name('status')})\n")
    hook.chmod(0o755)
    config.with_name("status").write_text("1")
    write(config, store, f'engine = "external"\nhook = ["{hook}"]')
    code, said = run(capsys, "apply", "--config", str(config))
    assert code != 0
    assert "ended with status 1: it said nothing" in said
    code, said = run(capsys, "diff", "--config", str(config))
    assert code == 0
    assert "+ network id " in said
    assert "name rack1, cidr 10.0.0.0/24" in said
    config.with_name("status").write_text("0")
    assert run(capsys, "apply", "--config", str(config)) == (0, "DHCP and DNS were changed.\n")
    told: dict[str, Any] = json.loads(config.with_name("told").read_text())
    assert [each["name"] for each in told["changes"]["networks"]["added"]] == ["rack1"]
    with store.write() as session:
        session.query(Subnet).update({"gateway": "10.0.0.254"})
    config.with_name("status").write_text("1")
    run(capsys, "apply", "--config", str(config))
    assert run(capsys, "diff", "--config", str(config)) == (0, "~ network rack1: gateway None -> 10.0.0.254\n")


def test_without_a_hook_to_apply_is_to_say_that_what_was_shown_is_done(
    config: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "apply", "--config", str(config))
    assert (code, "'metalwright network diff' has not shown yet: nothing was marked as carried over" in said) == (5, True)
    assert "name rack1, cidr 10.0.0.0/24" in run(capsys, "diff", "--config", str(config))[1]
    with store.write() as session:
        session.query(Subnet).update({"gateway": "10.0.0.254"})  # by somebody else, while the first is carried over
    more = "More has changed since 'metalwright network diff' was run: run it again.\n"
    assert run(capsys, "apply", "--config", str(config)) == (0, f"DHCP and DNS were changed.\n{more}")
    assert run(capsys, "diff", "--config", str(config)) == (0, "~ network rack1: gateway None -> 10.0.0.254\n")
    assert json.loads(run(capsys, "apply", "--json", "--config", str(config))[1]) == {"change": "reloaded", "untold": False}
    assert run(capsys, "diff", "--config", str(config)) == (0, "The site's servers were told everything.\n")
    assert run(capsys, "apply", "--config", str(config)) == (0, "Nothing was to be changed.\n")


def test_what_a_hook_was_not_told_is_not_marked_by_who_waited_for_his_turn(
    config: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's hook fails right after the one of the command."""
    write(config, store, 'engine = "external"\nhook = ["true"]')
    apply = External.apply

    def apply_and_then_the_worker(engine: External, state: NetworkState) -> Change:
        done = apply(engine, state)
        engine._hook = ["false"]
        with pytest.raises(Unavailable):
            apply(engine, replace(state, default_domain="of.the.worker"))
        return done

    monkeypatch.setattr(External, "apply", apply_and_then_the_worker)
    assert run(capsys, "apply", "--config", str(config)) == (0, "DHCP and DNS were changed.\n")
    assert "of.the.worker" in run(capsys, "diff", "--config", str(config))[1]


def test_what_an_engine_refused_is_shown_and_tried_once_more(
    config: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    write(config, store, 'engine = "dnsmasq"\ninterface = "lo"')
    assert run(capsys, "apply", "--config", str(config)) == (0, "DHCP and DNS were changed.\n")
    conf = Configuration(config.parent / "engine" / "dnsmasq" / "dnsmasq.conf")
    wanted = conf.text()
    assert wanted is not None
    conf.accept("former\n")
    conf.roll_back(wanted, "no port 53")
    code, said = run(capsys, "status", "--config", str(config))
    assert (code, "refused its new configuration: no port 53" in said) == (0, True)
    assert run(capsys, "apply", "--config", str(config))[0] == 0
    assert conf.text() == wanted
    assert json.loads(run(capsys, "status", "--json", "--config", str(config))[1]) == {
        "engine": "dnsmasq",
        "processes": [{"name": "dnsmasq", "refused": None}],
        "leases": 0,
        "waiting": 0,
    }
    code, said = run(capsys, "diff", "--config", str(config))
    assert code != 0
    assert "there are no servers of others" in said
