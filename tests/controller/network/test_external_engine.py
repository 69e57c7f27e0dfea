# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's own servers: what they are told, by files and by the hook."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from wires import until

from metalwright.config import Dhcp, Settings
from metalwright.errors import Unavailable
from metalwright.network.engines import Change, external
from metalwright.network.engines.external import External
from metalwright.network.model import Domain, Host, Network, NetworkState, Record

LAB = Network("n1", "lab", "10.99.0.0/24", dynamic=(("10.99.0.100", "10.99.0.149"),))
SIX = Network("n2", "lab6", "fd99::/64")
WEB = Host("m1", "52:54:00:00:00:0a", "10.99.0.10", "n1", "web1", "x.example")
WEB_SIX = Host("m1", "52:54:00:00:00:0a", "fd99::10", "n2", "web1", "x.example")
X = Domain("x.example", records=(Record("@", "MX", "10 mail.x.example"), Record("www", "CNAME", "web1.x.example", 60)))
SITE = NetworkState((LAB, SIX), (WEB, WEB_SIX), (X,))


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    script = tmp_path / "hook"
    script.write_text(
        f"#!/bin/sh\ncat > {tmp_path}/told\n[ -e {tmp_path}/broken ] && {{ echo 'the server is away' >&2; exit 3; }}\nexit 0\n"
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def engine(tmp_path: Path, hook: Path) -> External:
    return External(Settings(data_dir=tmp_path / "data", dhcp=Dhcp(engine="external", hook=[str(hook)], hook_seconds=5)))


def told(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "told").read_text())["changes"]
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_hook_is_told_what_has_changed_since_it_succeeded(engine: External, tmp_path: Path) -> None:
    assert engine.apply(SITE) is Change.RELOADED
    assert [each["name"] for each in told(tmp_path)["networks"]["added"]] == ["lab", "lab6"]
    assert [each["data"] for each in told(tmp_path)["records"]["added"]] == ["10 mail.x.example", "web1.x.example"]
    (tmp_path / "told").unlink()
    assert engine.apply(SITE) is Change.NOTHING
    assert not (tmp_path / "told").exists()
    moved = replace(SITE, hosts=(replace(WEB, name="web2"),), networks=(replace(LAB, gateway="10.99.0.1"), SIX))
    assert engine.apply(moved) is Change.RELOADED
    changes = told(tmp_path)
    assert set(changes) == {"networks", "hosts"}
    assert [(each["before"]["gateway"], each["after"]["gateway"]) for each in changes["networks"]["changed"]] == [
        (None, "10.99.0.1")
    ]
    assert changes["hosts"]["removed"][0]["address"] == "fd99::10"
    assert changes["hosts"]["changed"][0]["after"]["name"] == "web2"


def test_what_the_hook_could_not_do_is_told_again_with_what_came_meanwhile(engine: External, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(Unavailable, match="ended with status 3: the server is away") as caught:
        engine.apply(SITE)
    assert caught.value.code == "hook_failed"
    (tmp_path / "broken").unlink()
    engine.apply(replace(SITE, hosts=(*SITE.hosts, Host("m2", None, "10.99.0.11", "n1", "db"))))
    assert [each["address"] for each in told(tmp_path)["hosts"]["added"]] == ["10.99.0.10", "fd99::10", "10.99.0.11"]
    assert engine.differences() == {}


@pytest.mark.parametrize(("hook", "why"), [(["sleep", "9"], "has not ended within 1 s"), (["/nowhere"], "can not be run")])
def test_a_hook_that_does_not_end_or_is_not_there(tmp_path: Path, hook: list[str], why: str) -> None:
    engine = External(Settings(data_dir=tmp_path, dhcp=Dhcp(engine="external", hook=hook, hook_seconds=1)))
    with pytest.raises(Unavailable, match=why):
        engine.apply(SITE)


@pytest.mark.parametrize("on_term", ["rm lock; exit", ""], ids=["it ends when told to", "it does not"])
def test_of_a_hook_that_does_not_end_in_time_nothing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_term: str
) -> None:
    """The shell is not all of it: what it has started goes on, and has its output open."""
    monkeypatch.setattr(external, "_ENDS_WITHIN", 0.5)
    started = f"trap '{on_term}' TERM; touch lock; echo $$ > pid; while :; do sleep 0.01; done"
    hook = ["sh", "-c", f'cd {tmp_path}; sh -c "$0" & wait', started]
    engine = External(Settings(data_dir=tmp_path, dhcp=Dhcp(engine="external", hook=hook, hook_seconds=1)))
    with pytest.raises(Unavailable, match="has not ended within 1 s"):
        engine.apply(SITE)
    pid = int((tmp_path / "pid").read_text())
    try:
        until(lambda: not runs(pid), 2)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert (tmp_path / "lock").exists() == (on_term == "")


def test_without_a_hook_a_person_says_when_it_is_done(tmp_path: Path) -> None:
    engine = External(Settings(data_dir=tmp_path, dhcp=Dhcp(engine="external")))
    assert engine.apply(SITE) is Change.RELOADED
    assert set(engine.show()) == {"networks", "hosts", "domains", "records", "settings"}
    assert engine.acknowledge()
    assert engine.differences() == {}
    assert engine.apply(SITE) is Change.NOTHING


def test_what_a_person_was_not_shown_stays_to_be_told(tmp_path: Path) -> None:
    engine = External(Settings(data_dir=tmp_path, dhcp=Dhcp(engine="external")))
    engine.apply(replace(SITE, hosts=(WEB,)))
    assert not engine.acknowledge()
    engine.show()
    engine.apply(SITE)
    assert engine.acknowledge()
    assert engine.differences() == {"hosts": {"added": [asdict(WEB_SIX) | {"options": []}]}}
    assert json.loads((tmp_path / "network" / "changes.json").read_text()) == engine.differences()
    assert not engine.acknowledge()


def test_snippets_for_servers_that_sites_run(engine: External, tmp_path: Path) -> None:
    engine.apply(SITE)
    directory = tmp_path / "data" / "network"
    assert (directory / "hosts").read_text() == "10.99.0.10 web1.x.example\nfd99::10 web1.x.example\n"
    assert (directory / "dnsmasq-hosts.conf").read_text().splitlines()[1] == "dhcp-host=52:54:00:00:00:0a,[fd99::10]"
    assert (directory / "dhcpd-hosts.conf").read_text().splitlines()[0] == (
        "host 52540000000a-10.99.0.10 { hardware ethernet 52:54:00:00:00:0a; fixed-address 10.99.0.10; }"
    )
    assert json.loads((directory / "kea-reservations.json").read_text())[1] == {
        "subnet": "fd99::/64",
        "reservations": [{"hw-address": "52:54:00:00:00:0a", "ip-addresses": ["fd99::10"]}],
    }
    assert (directory / "names.zone").read_text().splitlines() == [
        "web1.x.example. 300 IN A 10.99.0.10",
        "web1.x.example. 300 IN AAAA fd99::10",
        "x.example. 300 IN MX 10 mail.x.example.",
        "www.x.example. 60 IN CNAME web1.x.example.",
        "10.0.99.10.in-addr.arpa. 300 IN PTR web1.x.example.",
        "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.9.d.f.ip6.arpa. 300 IN PTR web1.x.example.",
    ]
