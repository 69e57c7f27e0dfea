# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine does, seen by real clients: udhcpc, dhclient, dig, a relay, PXE firmware. One site, started once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dhcp_client import ACK, DhcpClient, http, ipxe, pxe
from engines_under_test import ENGINES, URL
from running_engine import Running
from wires import DUID, ELSEWHERE_4, FAR_4, SERVER_4, SERVER_6, Clients, Wires, until

from metalwright.network.engines import Change
from metalwright.network.model import Domain, Host, Network, NetworkState, Option, Record

A, B, C, D = (f"52:54:00:00:00:{number}" for number in ("0a", "0b", "0c", "0d"))
NEAR = Network(
    "near4",
    "near",
    "10.99.0.0/24",
    gateway="10.99.0.254",
    dns_servers=(SERVER_4, "10.99.0.53"),
    ntp_servers=("10.99.0.5", "10.99.0.6"),
    search=("a.example.com", "b.example.com"),
    dynamic=(("10.99.0.100", "10.99.0.103"), ("10.99.0.200", "10.99.0.203")),
    mtu=1400,
    options=(Option(4, 72, "10.1.1.1,10.1.1.2"), Option(4, 121, "10.1.0.0/16 10.99.0.3"), Option(4, 224, "01:02:ff")),
)
NEAR_SIX = Network(
    "near6",
    "near-six",
    "fd99::/64",
    gateway=SERVER_6,
    dns_servers=(SERVER_6,),
    search=("a.example.com",),
    dynamic=(("fd99::1:0", "fd99::1:ff"),),
)
FAR = Network("far4", "far", "10.98.0.0/24", gateway=FAR_4, dynamic=(("10.98.0.100", "10.98.0.109"),))
FAR_SIX = Network("far6", "far-six", "fd98::/64", dynamic=(("fd98::1:0", "fd98::1:ff"),))
ELSEWHERE = Network("else4", "elsewhere", "10.97.0.0/24", dynamic=(("10.97.0.100", "10.97.0.109"),), relays=(ELSEWHERE_4,))
HOSTS = (
    Host("m1", A, "10.99.0.10", "near4", "web1", "x.example"),
    Host("m1", A, "fd99::10", "near6", "web1", "x.example"),
    Host("m1", None, "10.99.0.60", "near4", "web1-bond", "x.example"),
    Host("m2", B, "10.99.0.11", "near4", options=(Option(4, 72, "10.2.2.2"),)),
    Host("m3", A, "10.98.0.10", "far4"),
)
DOMAINS = (
    Domain("metalwright.internal"),
    Domain(
        "x.example",
        records=(
            Record("@", "MX", "10 mail.x.example"),
            Record("@", "TXT", '"v=spf1 -all" "second, \\"quoted\\""'),
            Record("_ldap._tcp", "SRV", "1 2 389 web1.x.example"),
            Record("alias", "CNAME", "web1.x.example", 60),
            Record("mail", "A", "10.99.0.25"),
            Record("mail", "AAAA", "fd99::25"),
            Record("short", "A", "10.99.0.26", 30),
        ),
    ),
    Domain("corp.example", forward_to=("10.99.0.2",)),
)
SITE = NetworkState((NEAR, NEAR_SIX, FAR, FAR_SIX, ELSEWHERE), HOSTS, DOMAINS)


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    made = Wires()
    yield made
    made.remove()


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, wires: Wires, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(wires.server, ENGINES[request.param](tmp_path_factory.mktemp("data")))
    running.start(SITE)
    yield running
    running.stop()


@pytest.fixture
def site(engine: Running) -> Running:
    """The engine, brought back to the site after the test before."""
    engine.apply(SITE)
    return engine


@pytest.fixture
def clients(wires: Wires, tmp_path: Path) -> Clients:
    return Clients(wires, tmp_path)


@pytest.fixture
def firmware(wires: Wires) -> Iterator[DhcpClient]:
    made = DhcpClient(wires.client)
    yield made
    made.close()


def changed(owner: str, *hosts: Host) -> NetworkState:
    """The site with other addresses of one owner."""
    return replace(SITE, hosts=(*(host for host in HOSTS if host.owner != owner), *hosts))


def test_a_known_card_gets_its_address_and_what_the_subnet_says(site: Running, clients: Clients) -> None:
    found = clients.udhcpc(A, "client", "search", "mtu", "72", "staticroutes", "224")
    assert found is not None
    assert (found["ip"], found["mask"], found["router"]) == ("10.99.0.10", "24", "10.99.0.254")
    assert (found["dns"], found["ntpsrv"]) == ("10.99.0.1 10.99.0.53", "10.99.0.5 10.99.0.6")
    assert (found["domain"], found["search"]) == ("metalwright.internal", "a.example.com b.example.com")
    assert (found["mtu"], found["opt72"], found["staticroutes"]) == ("1400", "0a0101010a010102", "10.1.0.0/16 10.99.0.3")
    assert found["opt224"] == "0102ff"
    by_isc = clients.dhclient(4, A)
    assert by_isc is not None
    assert (by_isc["new_ip_address"], by_isc["new_interface_mtu"]) == ("10.99.0.10", "1400")


def test_an_option_of_a_host_goes_before_that_of_its_subnet(site: Running, clients: Clients) -> None:
    found = clients.udhcpc(B, "client", "72")
    assert found is not None
    assert (found["ip"], found["opt72"]) == ("10.99.0.11", "0a020202")


def test_anyone_gets_an_address_of_one_of_the_ranges_until_they_run_out(site: Running, firmware: DhcpClient) -> None:
    given = {firmware.lease(f"52:54:00:00:01:{number:02x}").address for number in range(8)}
    assert given == {f"10.99.0.{number}" for number in (*range(100, 104), *range(200, 204))}
    assert firmware.ask("52:54:00:00:01:ff", patience=0.3) is None
    assert {lease.address for lease in site.engine.leases()} >= given
    for number in range(8):
        firmware.release(f"52:54:00:00:01:{number:02x}", SERVER_4)


def test_dhcpv6_gives_known_cards_their_address_and_others_one_of_the_range(site: Running, clients: Clients) -> None:
    known, other = clients.dhclient(6, A), clients.dhclient(6, C)
    assert known is not None
    assert known["new_ip6_address"] == "fd99::10"
    assert (known["new_dhcp6_name_servers"], known["new_dhcp6_domain_search"]) == (SERVER_6, "a.example.com.")
    assert other is not None
    assert other["new_ip6_address"].startswith("fd99::1:")
    leases = {lease.address: lease for lease in site.engine.leases()}
    assert (leases["fd99::10"].mac, leases["fd99::10"].duid) == (A, f"{DUID}:{A}")


def test_a_relay_speaks_for_a_subnet_that_is_far(site: Running, wires: Wires, clients: Clients) -> None:
    relays = [
        ["dhcrelay", "-4", "-d", "-i", "near", "-i", "far", SERVER_4],
        ["dhcrelay", "-6", "-d", "-l", "far", "-u", f"{SERVER_6}%near"],
    ]
    running = [
        subprocess.Popen(wires.relay.command(each), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for each in relays
    ]
    try:
        known, other = clients.udhcpc(A, "far"), clients.udhcpc(C, "far")
        six = clients.dhclient(6, C, "far")
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert known is not None
    assert (known["ip"], known["router"]) == ("10.98.0.10", FAR_4)
    assert other is not None
    assert other["ip"].startswith("10.98.0.10")
    assert six is not None
    assert six["new_ip6_address"].startswith("fd98::1:")


def test_a_relay_may_have_no_address_in_its_subnet(site: Running, wires: Wires) -> None:
    """It says by giaddr for which subnet it asks, and is answered there (RFC 2131 section 4.1)."""
    with wires.relay.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind((ELSEWHERE_4, 67))
        sock.settimeout(5)
        message = bytearray(DhcpClient.message(C, {53: b"\1"}))
        message[24:28] = socket.inet_aton(ELSEWHERE_4)
        sock.sendto(message, (SERVER_4, 67))
        answer = sock.recv(2048)
    assert socket.inet_ntoa(answer[16:20]).startswith("10.97.0.10")


def test_each_firmware_gets_its_loader(site: Running, firmware: DhcpClient) -> None:
    loaders = [
        (pxe(0), "undionly.kpxe", SERVER_4),
        (pxe(7), "snponly.efi", SERVER_4),
        (pxe(9), "snponly.efi", SERVER_4),
        (http(16), f"{URL}/boot/loaders/snponly.efi", None),
        (ipxe(0), f"{URL}/boot/start.ipxe", None),
        (ipxe(7), f"{URL}/boot/start.ipxe", None),
        ({}, "", None),
    ]
    for asked, file, option_66 in loaders:
        answer = firmware.lease(A, **asked)
        assert (answer.kind, answer.address, answer.next_server) == (ACK, "10.99.0.10", SERVER_4)
        assert (answer.file, answer.text(67) or "") == (file, file), asked
        assert answer.text(66) == option_66, asked
        assert answer.options.get(60) == (b"HTTPClient" if asked.get("o60", b"").startswith(b"HTTP") else None)
        assert answer.options.get(175, b"").startswith(b"\xb0\1\1") == ("o175" in asked)


def test_routers_are_advertised_where_there_is_ipv6(site: Running, wires: Wires) -> None:
    """Addresses come from DHCPv6 (M), not from the prefix (no A); the gateway is this host, so it is the router."""

    def listen() -> bytes:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"client")
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.settimeout(5)
            sock.sendto(b"\x85\0\0\0\0\0\0\0", ("ff02::2", 0, 0, socket.if_nametoindex("client")))
            while (packet := sock.recv(1500))[0] != 134:
                pass
            return packet

    packet = wires.client.run(listen)
    assert packet[5] & 0xC0 == 0xC0
    assert int.from_bytes(packet[6:8], "big") > 0
    prefix = packet.index(bytes([3, 4, 64]))
    assert packet[prefix + 3] & 0xC0 == 0x80
    assert packet[prefix + 16 : prefix + 24] == socket.inet_pton(socket.AF_INET6, "fd99::")[:8]


def test_names_and_records(site: Running, clients: Clients) -> None:
    def data(*question: str) -> list[str]:
        status, *answers = clients.dig(*question)
        return [status, *sorted(" ".join(line.split()[3:]) for line in answers)]

    assert data("web1.x.example", "A") == ["NOERROR", "A 10.99.0.10"]
    assert data("web1.x.example", "AAAA") == ["NOERROR", "AAAA fd99::10"]
    assert data("web1-bond.x.example") == ["NOERROR", "A 10.99.0.60"]
    assert data("-x", "10.99.0.10") == ["NOERROR", "PTR web1.x.example."]
    assert data("-x", "fd99::10") == ["NOERROR", "PTR web1.x.example."]
    assert data("mail.x.example", "A") == ["NOERROR", "A 10.99.0.25"]
    assert data("mail.x.example", "AAAA") == ["NOERROR", "AAAA fd99::25"]
    assert data("-x", "fd99::25") == ["NOERROR", "PTR mail.x.example."]
    assert data("x.example", "MX") == ["NOERROR", "MX 10 mail.x.example."]
    assert data("x.example", "TXT") == ["NOERROR", 'TXT "v=spf1 -all" "second, \\"quoted\\""']
    assert data("_ldap._tcp.x.example", "SRV") == ["NOERROR", "SRV 1 2 389 web1.x.example."]
    assert data("alias.x.example") == ["NOERROR", "A 10.99.0.10", "CNAME web1.x.example."]
    assert data("nobody.x.example") == ["NXDOMAIN"]
    assert data("-x", "10.99.0.99") == ["NXDOMAIN"]
    assert data("+recurse", "example.com")[0] in ("REFUSED", "SERVFAIL")  # nobody is asked; at once, and without an answer


def test_times_to_live(site: Running, clients: Clients) -> None:
    def ttl(name: str) -> list[int]:
        return [int(line.split()[1]) for line in clients.dig(name)[1:]]

    assert (ttl("web1.x.example"), ttl("short.x.example"), ttl("alias.x.example")[0]) == ([300], [30], 60)


def test_one_host_comes_changes_and_goes_and_nothing_is_restarted(site: Running, clients: Clients, firmware: DhcpClient) -> None:
    pids = site.pids
    site.apply(changed("m9", Host("m9", D, "10.99.0.19", "near4", "new", "x.example")))
    until(lambda: clients.dig("new.x.example")[1:])
    assert firmware.lease(D).address == "10.99.0.19"
    site.apply(changed("m9", Host("m9", D, "10.99.0.20", "near4", "newer", "x.example")))
    until(lambda: clients.dig("newer.x.example")[1:])
    assert clients.dig("new.x.example") == ["NXDOMAIN"]
    assert firmware.lease(D).address == "10.99.0.20"
    assert not [lease for lease in site.engine.leases() if lease.address == "10.99.0.19"]
    site.apply(SITE)
    until(lambda: clients.dig("newer.x.example") == ["NXDOMAIN"])
    assert clients.dig("-x", "10.99.0.20") == ["NXDOMAIN"]
    assert firmware.lease(D).address not in ("10.99.0.19", "10.99.0.20")
    assert not [lease for lease in site.engine.leases() if lease.address == "10.99.0.20"]
    assert site.pids == pids
    # an address of ours may have come to be usable meanwhile, which is a change; it is none a second time
    assert Change.NOTHING in (site.apply(SITE), site.apply(SITE))


def test_an_address_goes_to_the_card_that_has_it_now(site: Running, firmware: DhcpClient) -> None:
    assert firmware.lease(A).address == "10.99.0.10"
    site.apply(changed("m1", Host("m1", D, "10.99.0.10", "near4")))
    assert firmware.lease(D).address == "10.99.0.10"
    assert firmware.lease(A).address != "10.99.0.10"


def test_a_record_comes_and_goes(site: Running, clients: Clients) -> None:
    x = DOMAINS[1]
    more = replace(x, records=(*x.records, Record("added", "A", "10.99.0.30"), Record("www", "CNAME", "added.x.example")))
    site.apply(replace(SITE, domains=(DOMAINS[0], more, DOMAINS[2])))
    until(lambda: len(clients.dig("www.x.example")) == 3)
    site.apply(SITE)
    until(lambda: clients.dig("www.x.example") == ["NXDOMAIN"] == clients.dig("added.x.example"))


def test_leases_outlive_a_killed_engine(site: Running, firmware: DhcpClient) -> None:
    kept = firmware.lease(C).address
    starts = site.starts
    pids = site.pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    site.wait(lambda: site.starts == starts + len(pids))
    assert kept in {lease.address for lease in site.engine.leases()}
    assert firmware.lease(C).address == kept
    assert firmware.lease(A).address == "10.99.0.10"


def test_a_conversation_is_heard(site: Running, firmware: DhcpClient, clients: Clients) -> None:
    del site.seen[:]
    firmware.lease(A)
    site.wait(lambda: len(site.seen) >= 4)
    assert [(seen.kind, seen.mac) for seen in site.seen[:4]] == [(kind, A) for kind in ("discover", "offer", "request", "ack")]
    assert site.seen[3].address == "10.99.0.10"
    clients.dhclient(6, A)
    site.wait(lambda: [seen for seen in site.seen if (seen.kind, seen.mac, seen.address) == ("reply", A, "fd99::10")])
