# SPDX-License-Identifier: GPL-3.0-or-later
"""dnsmasq's files, its log and its process, where none runs."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metalwright.config import Dhcp, Node, Settings
from metalwright.errors import Unavailable
from metalwright.network import engines
from metalwright.network.engines import Change, dnsmasq_log
from metalwright.network.engines.dnsmasq import Dnsmasq
from metalwright.network.model import Host, Network
from metalwright.network.model import NetworkState as State

A, B, C = "52:54:00:00:00:0a", "52:54:00:00:00:0b", "52:54:00:00:00:0c"
LAB = Network("sub1", "lab", "10.99.0.0/24", dynamic=(("10.99.0.100", "10.99.0.149"),), domain="lab.example")
SPOOFED = f"dnsmasq-dhcp: 12 vendor class: DHCPACK(br0) 10.99.0.10 {A}"
WEB = Host("m1", A, "10.99.0.10", "sub1", "web1", "lab.example")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, node=Node(url="http://10.99.0.1"), dhcp=Dhcp(engine="dnsmasq", interface="server"))


def test_a_stale_pid_file_kills_nobody(settings: Settings) -> None:
    engine = Dnsmasq(settings)
    engine.apply(State((LAB,), (WEB,)))
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (engine.directory / "dnsmasq.pid").write_text(f"{bystander.pid}\n")
        assert engine.apply(State((replace(LAB, gateway="10.99.0.1"),), ())) is Change.RELOADED
        assert bystander.poll() is None
        bystander.kill()


def test_dnsmasq_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("metalwright.network.engines.software.program", lambda _name: str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match="no dnsmasq"):
        Dnsmasq(settings).apply(State())


@pytest.mark.parametrize(
    "line", ["", "dnsmasq: started", "dnsmasq-dhcp: 12 tags: ipxe, server", "DHCPACK(br0) nonsense", SPOOFED]
)
def test_other_lines_of_the_log_are_nothing(line: str) -> None:
    assert dnsmasq_log.parse(line) is None


def test_no_engine(tmp_path: Path) -> None:
    engine = engines.create(Settings(data_dir=tmp_path))
    assert engine.apply(State((LAB,), (WEB,))) is Change.NOTHING
    assert engine.processes() == ()
    assert list(tmp_path.iterdir()) == []


def test_text_of_others_never_becomes_configuration(settings: Settings) -> None:
    engine = Dnsmasq(settings)
    evil = (
        Host("m1", A, "10.99.0.10", None, "x\n10.99.0.1 controller"),
        Host("m2", f"{B},10.99.0.1\n{C}", "10.99.0.11"),
    )
    engine.apply(State((LAB,), evil))
    assert [path.name for path in (engine.directory / "hosts.d").iterdir()] == []
    assert {path.name: path.read_text() for path in (engine.directory / "dhcp-hosts.d").iterdir()} == {
        "new-1": f"{A},10.99.0.10\n"
    }


def _lines(directory: Path) -> list[str]:
    return sorted(line for path in directory.iterdir() for line in path.read_text().splitlines())


def test_what_is_new_together_is_one_file_for_dnsmasq_to_read(settings: Settings) -> None:
    """Whatever comes, changes and goes after: each line that is wanted is there once, and none that is not."""
    engine = Dnsmasq(settings)
    hosts = {n: Host(f"m{n}", f"52:54:00:00:00:{n:02x}", f"10.99.0.{n}", None, f"n{n}", "lab.example") for n in range(10, 50)}

    def applied() -> tuple[set[str], set[str]]:
        """The files of names, and those of new cards."""
        engine.apply(State((LAB,), tuple(hosts.values())))
        cards = [*_lines(engine.directory / "dhcp-hosts"), *_lines(engine.directory / "dhcp-hosts.d")]
        assert sorted(cards) == sorted(f"{host.mac},{host.address}" for host in hosts.values())
        assert _lines(engine.directory / "hosts.d") == sorted(
            f"{host.address} {host.name}.lab.example" for host in hosts.values()
        )
        return tuple({path.name for path in (engine.directory / name).iterdir()} for name in ("hosts.d", "dhcp-hosts.d"))  # type: ignore[return-value]

    assert applied() == ({"new-1"}, {"new-1"})
    hosts[50] = replace(hosts[10], owner="m50", mac="52:54:00:00:00:50", address="10.99.0.50", name="n50")
    names, cards = applied()
    assert ("new-1" in names, len(names), cards) == (True, 2, {"new-1", "new-2"})
    hosts[11] = replace(hosts[11], name="other")
    del hosts[12]
    hosts[13] = replace(hosts[13], address="10.99.0.99")
    names, cards = applied()
    assert ("new-1" in names, cards) == (True, set())
    for n in range(100, 250):
        hosts[n] = replace(hosts[10], owner=f"m{n}", mac=f"52:54:00:00:01:{n:02x}", address=f"10.99.0.{n}", name=f"n{n}")
        if n % 5 == 4:
            names, cards = applied()
    assert {name for name in names if name.startswith("new-")} == {f"new-{n}" for n in range(1, 32)}
