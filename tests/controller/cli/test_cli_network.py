# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's network on the command line, against a real controller."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from running_controller import RunningController

from metalwright.cli import main
from metalwright.cli.dns import set_dns
from metalwright.network.engines import dnsmasq_dns
from metalwright.network.model import NetworkState, Resolver

Run = Callable[..., Any]
PAGE = (Path(__file__).resolve().parents[3] / "docs/how-to/network.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    metalwright (.+)$", PAGE, re.MULTILINE)


@pytest.fixture
def run(controller: RunningController, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; answers what it printed, read if that is JSON. ``fails`` is the exit code that is right."""
    for name, value in controller.environ.items():
        monkeypatch.setenv(name, value)

    def run(*command: str, fails: int = 0) -> Any:
        code = main(command)
        printed = capsys.readouterr()
        assert code == fails, printed.err
        return printed.err if fails else json.loads(printed.out) if "--json" in command else printed.out

    return run


def test_the_page_about_it_works_as_it_is_written(run: Run) -> None:
    assert len(COMMANDS) > 20
    for command in COMMANDS:
        run(*shlex.split(command))
    assert {each["name"] for each in run("domain", "list", "--json")} >= {"rack1.example.com", "example.internal"}


def test_the_page_about_it_asks_no_more_of_the_resolver_than_dnsmasq_can() -> None:
    """It is the engine that most sites have; the controller of these tests has none."""
    site = re.findall(r"^```yaml\n(metalwright_network:.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    asked = [yaml.safe_load(file)["metalwright_network"]["resolver"] for file in site]
    typed = [shlex.split(command) for command in COMMANDS if command.startswith("dns set")]
    asked += [set_dns.make_context("set", words[2:]).params for words in typed]
    assert len(asked) == 2
    for fields in asked:
        lists = {name: tuple(fields.get(name, ())) for name in ("forwarders", "query_from", "recurse_from")}
        dnsmasq_dns.check(NetworkState(resolver=Resolver(**lists)))


def test_layer_two_and_addresses(run: Run) -> None:
    assert run("vlan", "add", "blue", "7", "--mtu", "9000") == "blue: added\n"
    ranges = ("--dynamic", "10.9.0.100-10.9.0.199", "--static", "10.9.0.10-10.9.0.19", "--reserved", "10.9.0.1")
    run("subnet", "add", "row1", "10.9.0.0/24", *ranges, "--vlan", "blue", "--ntp-server", "10.9.0.1")
    ranges_shown = "ranges       reserved 10.9.0.1-10.9.0.1\n             static 10.9.0.10-10.9.0.19"
    assert ranges_shown in run("subnet", "show", "row1")
    listed = next(line.split() for line in run("subnet", "list").splitlines() if line.startswith("row1"))
    assert listed[:6] == ["row1", "10.9.0.0/24", "blue", "-", "10.9.0.100-10.9.0.199", "10.9.0.10-10.9.0.19"]
    assert run("vlan", "edit", "blue", "--number", "8") == "blue: changed\n"
    assert run("vlan", "list").splitlines()[1].split() == ["blue", "8", "9000", "row1", "-"]
    run("vlan", "delete", "blue", "--yes", fails=4)
    assert run("range", "add", "row1", "static", "10.9.0.30-10.9.0.39") == "10.9.0.30: added\n"
    assert run("range", "edit", "10.9.0.30", "--end", "10.9.0.49") == "10.9.0.30: changed\n"
    assert "overlaps the dynamic range" in run("range", "edit", "10.9.0.30", "--end", "10.9.0.110", fails=5)
    assert run("range", "edit", "10.9.0.30", fails=5).startswith("error: Nothing to change was named.")
    assert [each["start"] for each in run("range", "list", "--subnet", "row1", "--json")] == [
        "10.9.0.1",
        "10.9.0.10",
        "10.9.0.30",
        "10.9.0.100",
    ]
    assert run("range", "delete", "10.9.0.30", "--yes") == "10.9.0.30: deleted\n"
    card = ("52:54:00:AA:00:01", "10.9.0.5")
    assert run("reservation", "add", *card, "--name", "printer") == "10.9.0.5: added\n"
    assert run("reservation", "edit", "10.9.0.5", "--comment", "2nd floor") == "10.9.0.5: changed\n"
    assert "10.9.0.5  52:54:00:aa:00:01  printer" in run("reservation", "list", "--subnet", "row1")
    assert "10.9.0.5  reservation" in run("address", "list", "--subnet", "row1")
    assert run("address", "list", "--source", "dhcp", "--json") == []
    assert run("reservation", "delete", "10.9.0.5", "--yes") == "10.9.0.5: deleted\n"


def test_names(run: Run) -> None:
    assert run("domain", "add", "lab.example", "--ttl", "60") == "lab.example: added\n"
    assert run("domain", "add", "corp.local", "--forward-to", "192.0.2.53") == "corp.local: added\n"
    assert run("domain", "edit", "lab.example", "--ttl", "60") == "lab.example: unchanged\n"
    assert "metalwright.internal" in run("domain", "list")
    mail = run("record", "add", "lab.example", "@", "MX", "10", "mail", "--json")
    assert (mail["name"], mail["data"]) == ("@", "10 mail.lab.example")
    assert run("record", "edit", mail["id"], "--ttl", "30") == f"{mail['id']}: changed\n"
    run("record", "edit", mail["id"], "--ttl", "-1", fails=5)
    assert "10 mail.lab.example" in run("record", "list", "--domain", "lab.example")
    assert run("record", "delete", mail["id"], "--yes") == f"{mail['id']}: deleted\n"
    assert run("domain", "delete", "lab.example", "--yes") == "lab.example: deleted\n"
    assert run("dns", "set", "--forwarder", "192.0.2.53", "--recurse-from", "10.0.0.0/8") == "dns: changed\n"
    assert "forwarders      192.0.2.53" in run("dns", "show")
    assert run("dns", "show", "--json")["set"] == ["forwarders", "recurse_from"]


def test_dhcp_options(run: Run) -> None:
    run("subnet", "add", "row2", "10.10.0.0/24")
    made = run("dhcp-option", "add", "log-servers", "10.10.0.4,10.10.0.5", "--subnet", "row2", "--json")
    assert (made["code"], made["value"]) == (7, "10.10.0.4,10.10.0.5")
    assert "field gateway" in run("dhcp-option", "add", "routers", "10.10.0.1", "--subnet", "row2", fails=5)
    assert run("dhcp-option", "edit", made["id"], "10.10.0.4") == f"{made['id']}: changed\n"
    assert "subnet row2  v4    7       log-servers  10.10.0.4" in run("dhcp-option", "list", "--subnet", "row2")
    assert run("dhcp-option", "delete", made["id"], "--yes") == f"{made['id']}: deleted\n"
