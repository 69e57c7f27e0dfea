# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Kea and a real BIND in a network namespace: what is theirs alone, beside what every engine does."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rrset
import dns.update
import pytest
from dhcp_client import DhcpClient, Namespace, NetworkNamespace
from running_engine import Running

from metalwright.config import Dhcp, Dns, Node, Settings, Tftp
from metalwright.errors import Invalid, Unavailable
from metalwright.network.engines import Change, bind, kea, software
from metalwright.network.engines.bind_update import Server
from metalwright.network.engines.leases import Lease
from metalwright.network.model import Domain, Host, Network, NetworkState, Record, Resolver

A, B, C = "52:54:00:00:00:0a", "52:54:00:00:00:0b", "52:54:00:00:00:0c"
LAB = Network("sub1", "lab", "10.99.0.0/24", dynamic=(("10.99.0.100", "10.99.0.149"),), domain="lab.example")
WEB = Host("m1", A, "10.99.0.10", "sub1", "web1", "lab.example")
DB = Host("m2", B, "10.99.0.11", "sub1", "db1", "lab.example")
STATE = NetworkState((LAB,), (WEB,))


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = Namespace("10.99.0.1/24", "10.98.0.1/24")
    made.settle()
    yield made
    made.remove()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        node=Node(url="http://10.99.0.1:5248"),
        dhcp=Dhcp(engine="kea+bind", interface="server", authoritative=True),
        dns=Dns(secondaries=["10.98.0.1"]),
        tftp=Tftp(listen="0.0.0.0:69"),
    )


@pytest.fixture
def running(namespace: Namespace, settings: Settings) -> Iterator[Running]:
    made = Running(namespace, settings)
    made.start(STATE)
    yield made
    made.stop()


@pytest.fixture
def elsewhere(namespace: Namespace) -> Iterator[NetworkNamespace]:
    """A host on a network that is not ours."""
    made = NetworkNamespace()
    made.ip("link", "add", "out", "type", "veth", "peer", "name", "in", "netns", namespace.name)
    made.ip("address", "add", "10.97.0.2/30", "dev", "out")
    namespace.ip("address", "add", "10.97.0.1/30", "dev", "in")
    made.ip("link", "set", "out", "up")
    namespace.ip("link", "set", "in", "up")
    made.ip("route", "add", "default", "via", "10.97.0.1")
    yield made
    made.remove()


@pytest.fixture
def client(namespace: Namespace) -> Iterator[DhcpClient]:
    made = DhcpClient(namespace)
    yield made
    made.close()


def serial(running: Running, zone: str) -> int:
    return int(running.ask(zone, "SOA")[1][0].split()[2])


def transferred(running: Running, source: str) -> str:
    command = ["dig", "@10.99.0.1", "-b", source, "lab.example", "AXFR", "+tries=1", "+time=5", "+onesoa"]
    return subprocess.run(running.namespace.command(command), capture_output=True, text=True, check=False).stdout


def test_one_change_restarts_nothing_and_touches_nothing_else(running: Running, client: DhcpClient, settings: Settings) -> None:
    assert client.lease(A).address == "10.99.0.10"
    pids, other = running.pids, serial(running, "metalwright.internal")
    before = serial(running, "lab.example")
    assert running.apply(replace(STATE, hosts=(WEB, DB))) is Change.RELOADED
    assert client.lease(B).address == "10.99.0.11"
    assert (running.ask("db1.lab.example"), running.reverse("10.99.0.11")[1]) == (
        ("NOERROR", ["10.99.0.11"]),
        ["db1.lab.example."],
    )
    assert serial(running, "lab.example") > before
    assert serial(running, "metalwright.internal") == other
    assert running.apply(replace(STATE, hosts=(WEB, DB))) is Change.NOTHING
    assert running.apply(STATE) is Change.RELOADED
    assert (running.ask("db1.lab.example")[0], running.reverse("10.99.0.11")[0]) == ("NXDOMAIN", "NXDOMAIN")
    assert [lease.address for lease in running.engine.leases()] == ["10.99.0.10"]
    assert client.lease(B).address != "10.99.0.11"
    assert running.pids == pids
    files = list((settings.data_dir / "bind" / "zones").glob("*.pending"))
    assert files == []


def test_two_subnets_on_one_cable(running: Running, client: DhcpClient) -> None:
    other = Network("sub2", "other", "10.98.0.0/24", gateway="10.98.0.254")
    running.apply(NetworkState((LAB, other), (WEB, Host("m2", B, "10.98.0.20", "sub2", "far"))))
    near, far = client.lease(A), client.lease(B)
    assert (near.address, near.next_server, near.addresses(3), near.addresses(6)) == (
        "10.99.0.10",
        "10.99.0.1",
        [],
        ["10.99.0.1"],
    )
    assert (far.address, far.next_server, far.addresses(3)) == ("10.98.0.20", "10.98.0.1", ["10.98.0.254"])
    assert client.lease(C).address.startswith("10.99.0.1")
    assert running.reverse("10.98.0.20") == ("NOERROR", ["far.metalwright.internal."])


def test_a_subnet_without_a_dynamic_range_answers_known_machines_alone(running: Running, client: DhcpClient) -> None:
    del running.seen[:]
    running.apply(replace(STATE, networks=(replace(LAB, dynamic=()),)))
    assert client.lease(A).address == "10.99.0.10"
    assert client.ask(C, patience=0.3) is None
    running.wait(lambda: [seen.note for seen in running.seen if seen.mac == C] == ["no address available"])
    running.apply(replace(STATE, networks=(replace(LAB, dhcp=False),)))
    assert client.ask(A, patience=0.3) is None
    running.apply(STATE)
    assert client.lease(A).address == "10.99.0.10"


def test_domains_come_and_go_without_a_restart(running: Running, settings: Settings) -> None:
    pids = running.pids
    domain = Domain("example.net", ttl=60, records=(Record("@", "MX", "10 mail.example.net"), Record("*", "A", "10.99.0.7")))
    running.apply(replace(STATE, domains=(domain,)))
    assert running.ask("example.net", "MX") == ("NOERROR", ["10 mail.example.net."])
    assert running.ask("anything.example.net") == ("NOERROR", ["10.99.0.7"])
    shorter = replace(domain, records=(Record("*", "A", "10.99.0.7", 5),))
    running.apply(replace(STATE, domains=(shorter,)))
    assert running.ask("example.net", "MX") == ("NOERROR", [])
    running.apply(STATE)
    assert running.ask("example.net", "MX")[0] == "REFUSED"
    assert running.pids == pids
    assert not list((settings.data_dir / "bind" / "zones").glob("example.net*"))


def test_only_those_who_may_ask_are_answered(running: Running, elsewhere: NetworkNamespace) -> None:
    def asked(name: str) -> str:
        query = dns.message.make_query(name, "A")
        return dns.rcode.to_text(elsewhere.run(lambda: dns.query.udp(query, "10.99.0.1", timeout=5)).rcode())

    assert asked("web1.lab.example") == "REFUSED"
    running.apply(replace(STATE, resolver=Resolver(query_from=("10.97.0.0/30",), forwarders=("10.98.0.1#9",))))
    assert (asked("web1.lab.example"), asked("example.org")) == ("NOERROR", "REFUSED")
    running.apply(replace(STATE, resolver=Resolver(("10.98.0.1#9",), ("10.97.0.0/30",), ("10.97.0.2/32",))))
    assert (asked("web1.lab.example"), asked("example.org")) == ("NOERROR", "SERVFAIL")


def test_names_elsewhere(running: Running) -> None:
    upstream = running.namespace.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with upstream:
        upstream.bind(("10.98.0.1", 5353))
        upstream.settimeout(5)
        there = ("10.98.0.1#5353",)
        running.apply(replace(STATE, domains=(Domain("corp.example", there), Domain("in.lab.example", there))))
        for name in ("x.corp.example", "x.in.lab.example"):
            assert _answered(upstream, running, name) == ("NOERROR", ["192.0.2.1"])
        assert running.ask("example.org")[0] == "SERVFAIL"  # nobody is asked for what is nobody's
        running.apply(replace(STATE, resolver=Resolver(forwarders=("10.98.0.1#5353",))))
        assert _answered(upstream, running, "example.org") == ("NOERROR", ["192.0.2.1"])
        assert running.ask("x.lab.example")[0] == "NXDOMAIN"


def _answered(upstream: socket.socket, running: Running, name: str) -> tuple[str, list[str]]:
    def answer() -> None:
        query, sender = upstream.recvfrom(2000)
        message = dns.message.from_wire(query)
        reply = dns.message.make_response(message)
        reply.answer.append(dns.rrset.from_text(message.question[0].name, 60, "IN", "A", "192.0.2.1"))
        upstream.sendto(reply.to_wire(), sender)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        return running.ask(name)
    finally:
        thread.join()


def test_secondaries_may_copy_zones_and_nobody_may_change_them(running: Running, settings: Settings) -> None:
    assert "web1.lab.example.\t300\tIN\tA\t10.99.0.10" in transferred(running, "10.98.0.1")
    assert "Transfer failed" in transferred(running, "10.99.0.1")
    update = dns.update.UpdateMessage("lab.example")
    update.add("evil", 60, "A", "192.0.2.66")
    answer = running.namespace.run(lambda: dns.query.tcp(update, "10.99.0.1", timeout=5))
    assert dns.rcode.to_text(answer.rcode()) == "REFUSED"
    assert stat.S_IMODE((settings.data_dir / "bind" / "update.key").stat().st_mode) == 0o600


def test_what_kea_refuses_changes_nothing(running: Running, client: DhcpClient, settings: Settings) -> None:
    config = settings.data_dir / "kea" / "kea-dhcp4.conf"
    before = config.read_text()
    broken = replace(LAB, dynamic=(("10.99.0.100", "10.97.0.149"),), domain="other.example")
    with pytest.raises(Invalid, match=r"10\.97\.0\.149") as caught:
        running.apply(NetworkState((broken,), (DB,)))
    assert caught.value.code == "dhcp_config_refused"
    assert config.read_text() == before
    assert client.lease(A).address == "10.99.0.10"
    assert (running.ask("web1.lab.example")[0], running.ask("web1.other.example")[0]) == ("NOERROR", "REFUSED")


def test_what_kea_refuses_as_it_reads_it_again_is_rolled_back(running: Running, client: DhcpClient, settings: Settings) -> None:
    """Reservations are judged by the server itself."""
    config = settings.data_dir / "kea" / "kea-dhcp4.conf"
    before = config.read_text()
    state = replace(STATE, hosts=(WEB, replace(DB, address="10.99.0.10", name="db1")))
    with pytest.raises(Invalid, match=r"10\.99\.0\.10") as caught:
        running.apply(state)
    assert caught.value.code == "network_rolled_back"
    assert config.read_text() == before
    assert client.lease(A).address == "10.99.0.10"
    assert running.ask("db1.lab.example")[0] == "NXDOMAIN"
    with pytest.raises(Invalid, match="goes on with the last good one"):
        running.apply(state)
    assert running.apply(replace(STATE, hosts=(WEB, DB))) is Change.RELOADED
    assert client.lease(B).address == "10.99.0.11"


def test_what_kea_says_is_told_where_it_refuses_the_last_good_configuration_as_well(
    running: Running, client: DhcpClient, settings: Settings
) -> None:
    """Then it answers nobody until it has read one that it takes."""
    leases = settings.data_dir / "kea" / "leases4.csv"
    away = leases.rename(leases.with_suffix(".away"))
    leases.mkdir()
    with pytest.raises(Unavailable, match=r"did not read its configuration: .*leases4.* Nor did it .*leases4") as caught:
        running.apply(replace(STATE, hosts=(WEB, DB)))
    assert caught.value.code == "engine_unreachable"
    leases.rmdir()
    away.rename(leases)
    assert running.apply(STATE) is Change.RELOADED
    assert client.lease(A).address == "10.99.0.10"


def test_what_bind_refuses_changes_nothing(running: Running, client: DhcpClient) -> None:
    domain = Domain("example.net", records=(Record("@", "MX", "many mail.example.net"),))
    with pytest.raises(Invalid, match="line 2: near 'many'") as caught:
        running.apply(replace(STATE, hosts=(WEB, DB), domains=(domain,)))
    assert caught.value.code == "dns_config_refused"
    assert running.ask("example.net", "MX")[0] == "REFUSED"
    assert client.lease(B).address != "10.99.0.11"
    known = Domain("lab.example", records=(Record("@", "MX", "many mail.example.net"),))
    with pytest.raises(Invalid, match="near 'many'"):
        running.apply(replace(STATE, hosts=(WEB, DB), domains=(known,)))
    assert client.lease(B).address != "10.99.0.11"
    with pytest.raises(Invalid, match="named refuses its configuration"):
        running.apply(replace(STATE, resolver=Resolver(query_from=("10.0.0.0/99",))))
    assert running.ask("web1.lab.example")[0] == "NOERROR"


@pytest.mark.parametrize("killed_after", ["told", "nothing"])
def test_an_update_that_was_cut_off_is_made_good(running: Running, monkeypatch: pytest.MonkeyPatch, killed_after: str) -> None:
    """Somebody was killed between the note and the update, or between the update and the note."""
    original = Server.update

    def cut_off(self: Server, zone: str, gone: frozenset[str], new: frozenset[str]) -> None:
        if killed_after == "told":
            original(self, zone, gone, new)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Server, "update", cut_off)
        with pytest.raises(KeyboardInterrupt):
            running.apply(replace(STATE, hosts=(DB,)))
    third = Host("m3", C, "10.99.0.12", "sub1", "api1", "lab.example")
    running.apply(replace(STATE, hosts=(WEB, third)))
    assert [running.ask(f"{name}.lab.example")[0] for name in ("web1", "db1", "api1")] == ["NOERROR", "NXDOMAIN", "NOERROR"]
    assert [running.reverse(f"10.99.0.{last}")[0] for last in (10, 11, 12)] == ["NOERROR", "NXDOMAIN", "NOERROR"]


def test_a_configuration_that_was_written_and_not_read_is_read(running: Running, client: DhcpClient) -> None:
    """Somebody was killed between the file and the command."""
    server = running.engine._kea[0]  # type: ignore[attr-defined]
    wanted = replace(STATE, hosts=(WEB, DB))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kea.KeaServer, "_runs", lambda _: False)
        patched.setattr(bind.Bind, "_runs", lambda _: False)
        patched.setattr(bind.Bind, "_load", lambda *_: False)
        running.apply(wanted)
    assert server.configuration.text() != server.configuration.good()
    assert running.apply(wanted) is Change.RELOADED
    assert client.lease(B).address == "10.99.0.11"
    assert running.ask("db1.lab.example")[0] == "NOERROR"


def test_all_are_killed_and_nothing_is_lost(running: Running, client: DhcpClient) -> None:
    kept = client.lease(C).address
    client.lease(A)
    running.apply(replace(STATE, hosts=(WEB, DB)))
    starts, pids = running.starts, running.pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    running.wait(lambda: running.starts == starts + len(pids))
    assert (client.lease(A).address, client.lease(B).address, client.lease(C).address) == ("10.99.0.10", "10.99.0.11", kept)
    assert running.ask("db1.lab.example")[0] == "NOERROR"
    assert running.apply(replace(STATE, hosts=(WEB, DB))) is Change.NOTHING


def test_what_changed_while_they_were_away(namespace: Namespace, settings: Settings, client: DhcpClient) -> None:
    with Running(namespace, settings) as first:
        first.start(STATE)
        client.lease(A)
        kept = client.lease(C).address
    with Running(namespace, settings) as second:
        second.start(replace(STATE, hosts=(replace(DB, address="10.99.0.10"),)))
        assert client.lease(B).address == "10.99.0.10"
        assert [second.ask(f"{name}.lab.example")[0] for name in ("db1", "web1")] == ["NOERROR", "NXDOMAIN"]
    assert {(lease.mac, lease.address) for lease in second.engine.leases()} == {(B, "10.99.0.10"), (C, kept)}


def test_leases_of_another_engine_are_taken_over(namespace: Namespace, settings: Settings, client: DhcpClient) -> None:
    with Running(namespace, settings) as made:
        made.apply(STATE)
        made.engine.take_over([Lease("10.99.0.133", 0, C), Lease("10.55.0.1", 0, B)])
        made.run()
        assert client.lease(C).address == "10.99.0.133"
    assert "10.99.0.133" in [lease.address for lease in made.engine.leases()]


def test_an_interface_that_is_missing(namespace: Namespace, settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"dhcp": Dhcp(engine="kea+bind", interface="nowhere")})
    with pytest.raises(Unavailable, match="nowhere"):
        Running(namespace, elsewhere).apply(STATE)


@pytest.mark.parametrize("program", ["kea-dhcp4", "kea-dhcp6", "radvd", "named-checkconf"])
def test_a_program_that_is_missing(namespace: Namespace, settings: Settings, program: str) -> None:
    found = software.program
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Unavailable, match=f"no {program} on this host") as caught:
        patched.setattr(software, "program", lambda name: f"/nowhere/{name}" if name == program else found(name))
        Running(namespace, settings).apply(STATE)
    assert caught.value.code == "engine_missing"
    assert not (settings.data_dir / "kea" / "kea-dhcp4.conf").exists()
