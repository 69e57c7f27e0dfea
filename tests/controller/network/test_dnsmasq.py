# SPDX-License-Identifier: GPL-3.0-or-later
"""A real dnsmasq in a network namespace, asked by a client that can be any firmware."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from dhcp_client import ACK, NAK, REQUEST, DhcpClient, Namespace, http, ipxe, pxe
from running_engine import Running

from metalwright.config import Dhcp, Node, Settings, Tftp
from metalwright.errors import Invalid
from metalwright.network.engines import Change, dnsmasq_log
from metalwright.network.engines.dnsmasq import Dnsmasq
from metalwright.network.engines.seen import DhcpSeen
from metalwright.network.model import Host, Network, Resolver
from metalwright.network.model import NetworkState as State

A, B, C = "52:54:00:00:00:0a", "52:54:00:00:00:0b", "52:54:00:00:00:0c"
URL = "http://10.99.0.1:5248"
LAB = Network("sub1", "lab", "10.99.0.0/24", dynamic=(("10.99.0.100", "10.99.0.149"),), domain="lab.example")
WEB = Host("m1", A, "10.99.0.10", "sub1", "web1", "lab.example")


def state(networks: tuple[Network, ...] = (), hosts: tuple[Host, ...] = (), **more: Any) -> State:
    return State(networks, hosts, default_domain="metal.example", **more)


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = Namespace("10.99.0.1/24", "10.98.0.1/24")
    yield made
    made.remove()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        node=Node(url=URL + "/"),
        dhcp=Dhcp(engine="dnsmasq", interface="server"),
        tftp=Tftp(listen="0.0.0.0:69"),
    )


@pytest.fixture
def dnsmasq(namespace: Namespace, settings: Settings) -> Iterator[Running]:
    running = Running(namespace, settings)
    running.start(state((LAB,), (WEB,)))
    yield running
    running.stop()


@pytest.fixture
def client(namespace: Namespace) -> Iterator[DhcpClient]:
    made = DhcpClient(namespace)
    yield made
    made.close()


BOOT_FILES = [
    (pxe(0), "undionly.kpxe", "10.99.0.1", None),
    (pxe(7), "snponly.efi", "10.99.0.1", None),
    (pxe(9), "snponly.efi", "10.99.0.1", None),
    (pxe(6), "", None, None),
    (pxe(11), "", None, None),
    ({}, "", None, None),
    (http(16), f"{URL}/boot/loaders/snponly.efi", None, b"HTTPClient"),
    (http(20), f"{URL}/boot/loaders/undionly.kpxe", None, b"HTTPClient"),
    (http(19), "", None, None),
    (ipxe(0), f"{URL}/boot/start.ipxe", None, None),
    (ipxe(7), f"{URL}/boot/start.ipxe", None, None),
    (ipxe(7) | {"o77": b"not iPXE"}, f"{URL}/boot/start.ipxe", None, None),
]


@pytest.mark.parametrize("wanted", [None, bytes([1, 3])], ids=["asking for all options", "asking for few"])
def test_each_firmware_gets_its_loader(dnsmasq: Running, client: DhcpClient, wanted: bytes | None) -> None:
    for firmware, file, option_66, option_60 in BOOT_FILES:
        asked = firmware if wanted is None else firmware | {"o55": wanted}
        for mac in (A, B):
            answer = client.lease(mac, **asked)
            assert answer.kind == ACK
            assert answer.next_server == "10.99.0.1"
            assert (answer.file, answer.text(67) or "") == (file, file), firmware
            assert answer.text(66) == option_66, firmware
            assert answer.options.get(60) == option_60, firmware
            assert (175 in answer.options) == ("o175" in firmware)
            assert (answer.address == "10.99.0.10") == (mac == A)


def test_addresses_and_options(dnsmasq: Running, client: DhcpClient) -> None:
    fixed = client.lease(A, **pxe(0))
    assert fixed.address == "10.99.0.10"
    assert client.lease(A, **ipxe(0)).address == "10.99.0.10"
    unknown = client.lease(B, **pxe(0))
    assert 100 <= int(unknown.address.rpartition(".")[2]) <= 149
    assert client.lease(B, **ipxe(0)).address == client.lease(B).address == unknown.address
    assert fixed.addresses(1) == ["255.255.255.0"]
    assert fixed.addresses(6) == ["10.99.0.1"]
    assert fixed.text(15) == "lab.example"
    assert 3 not in fixed.options
    gateway = replace(LAB, gateway="10.99.0.254", dns_servers=("10.0.0.53", "10.0.0.54"), domain=None)
    assert dnsmasq.apply(state((gateway,), (WEB,))) is Change.RELOADED
    dnsmasq.wait(lambda: dnsmasq.said("dhcp-options") == 2)
    answer = client.lease(A)
    assert (answer.addresses(3), answer.addresses(6)) == (["10.99.0.254"], ["10.0.0.53", "10.0.0.54"])
    assert answer.text(15) == "metal.example"
    assert dnsmasq.starts == 1


def test_names_forward_and_back_and_nothing_else(dnsmasq: Running) -> None:
    assert dnsmasq.ask("web1.lab.example") == ("NOERROR", ["10.99.0.10"])
    assert dnsmasq.reverse("10.99.0.10") == ("NOERROR", ["web1.lab.example."])
    assert dnsmasq.ask("web1.lab.example", "AAAA") == ("NOERROR", [])
    assert dnsmasq.ask("web2.lab.example")[0] == "NXDOMAIN"
    assert dnsmasq.ask("web1.metal.example")[0] == "NXDOMAIN"
    assert dnsmasq.reverse("10.99.0.11")[0] == "NXDOMAIN"
    assert dnsmasq.ask("example.com")[0] == "REFUSED"
    assert dnsmasq.reverse("8.8.8.8")[0] == "REFUSED"


def test_a_client_can_not_name_itself(dnsmasq: Running, client: DhcpClient) -> None:
    client.lease(B, o12=b"wpad")
    assert dnsmasq.ask("wpad.lab.example")[0] == "NXDOMAIN"
    assert dnsmasq.ask("wpad")[0] != "NOERROR"


def test_a_machine_comes_and_goes_without_a_restart(dnsmasq: Running, client: DhcpClient) -> None:
    new = Host("m2", B, "10.99.0.11", None, "db1")
    assert dnsmasq.apply(state((LAB,), (WEB, new))) is Change.RELOADED
    dnsmasq.wait(lambda: dnsmasq.said("/hosts.d/") and dnsmasq.said("dhcp-hosts.d/new-2"))
    assert client.lease(B).address == "10.99.0.11"
    assert dnsmasq.ask("db1.metal.example") == ("NOERROR", ["10.99.0.11"])
    assert dnsmasq.apply(state((LAB,), (WEB, new))) is Change.NOTHING
    assert dnsmasq.apply(state((LAB,), (WEB,))) is Change.RELOADED
    dnsmasq.wait(lambda: dnsmasq.said("read") and dnsmasq.said("/dhcp-hosts/"))
    assert dnsmasq.ask("db1.metal.example")[0] == "NXDOMAIN"
    assert dnsmasq.reverse("10.99.0.11")[0] == "NXDOMAIN"
    assert client.lease(B).address != "10.99.0.11"
    assert dnsmasq.ask("web1.lab.example") == ("NOERROR", ["10.99.0.10"])
    assert dnsmasq.starts == 1


def test_a_machine_gets_another_name(dnsmasq: Running, client: DhcpClient) -> None:
    client.lease(A)
    dnsmasq.apply(state((LAB,), (replace(WEB, name="api1"),)))
    dnsmasq.wait(lambda: dnsmasq.said("new or modified"))
    assert dnsmasq.ask("api1.lab.example") == ("NOERROR", ["10.99.0.10"])
    assert dnsmasq.ask("web1.lab.example")[0] == "NXDOMAIN"
    assert dnsmasq.reverse("10.99.0.10") == ("NOERROR", ["api1.lab.example."])


def test_a_subnet_without_a_dynamic_range_serves_only_known_machines(dnsmasq: Running, client: DhcpClient) -> None:
    static = replace(LAB, dynamic=())
    far = Network("sub2", "far", "10.98.0.0/24", dynamic=(("10.98.0.100", "10.98.0.110"),), dhcp=False)
    dnsmasq.apply(state((static, far), (WEB,)))
    dnsmasq.wait(lambda: dnsmasq.said("DHCP, static leases only on 10.99.0.0") and dnsmasq.said("sockets bound") == 2)
    assert client.lease(A).address == "10.99.0.10"
    assert client.ask(B, patience=0.3) is None


def test_two_subnets_on_one_cable(dnsmasq: Running, client: DhcpClient) -> None:
    other = Network("sub2", "other", "10.98.0.0/24", gateway="10.98.0.254")
    host = Host("m2", B, "10.98.0.20", None, "far")
    dnsmasq.apply(state((LAB, other), (WEB, host)))
    dnsmasq.wait(lambda: dnsmasq.said("sockets bound") == 2)
    near, far = client.lease(A, **pxe(7)), client.lease(B, **pxe(7))
    assert (near.address, near.next_server, near.addresses(3)) == ("10.99.0.10", "10.99.0.1", [])
    assert (far.address, far.next_server, far.addresses(3)) == ("10.98.0.20", "10.98.0.1", ["10.98.0.254"])


def test_malformed_packets_do_not_end_it(dnsmasq: Running, client: DhcpClient) -> None:
    noise = random.Random(3)
    for length in (0, 1, 43, 200, 240, 241, 300, 576):
        client.send(noise.randbytes(length))
        client.send(b"\1\1\6\0" + noise.randbytes(length))
    for options in (
        {53: b""},
        {53: b"\xff"},
        {53: b"\1", 82: b"\1\xff"},
        {53: b"\1", 93: b""},
        {53: b"\1", 77: b"", 175: b"\xff"},
    ):
        client.send(client.message(B, options))
        client.send(client.message(B, options)[:-3])
    assert client.lease(A, **pxe(0)).address == "10.99.0.10"
    assert dnsmasq.starts == 1


def test_no_subnet_yet(namespace: Namespace, settings: Settings, client: DhcpClient) -> None:
    with Running(namespace, settings) as running:
        running.start(state())
        assert running.ask("web1.metal.example")[0] == "NXDOMAIN"
        assert client.ask(A, patience=0.3) is None
        assert running.apply(state((LAB,), (WEB,))) is Change.RESTART
        running.wait(lambda: running.said("sockets bound"))
        assert client.lease(A).address == "10.99.0.10"


def test_a_configuration_that_is_refused_replaces_nothing(dnsmasq: Running, settings: Settings, client: DhcpClient) -> None:
    before = (settings.data_dir / "dnsmasq" / "dnsmasq.conf").read_text()
    broken = replace(LAB, dynamic=(("10.99.0.100", "10.97.0.149"),))
    with pytest.raises(Invalid, match=r"inconsistent DHCP range.* at line .*10\.97\.0\.149") as caught:
        dnsmasq.apply(state((broken,), ()))
    assert caught.value.code == "dhcp_config_refused"
    assert (settings.data_dir / "dnsmasq" / "dnsmasq.conf").read_text() == before
    assert client.lease(A).address == "10.99.0.10"
    assert dnsmasq.ask("web1.lab.example")[0] == "NOERROR"
    assert dnsmasq.starts == 1


def test_one_that_it_does_not_come_up_with_is_rolled_back(
    dnsmasq: Running, settings: Settings, namespace: Namespace, client: DhcpClient
) -> None:
    """Its checker does not look whether the interface is there."""
    other = Dnsmasq(settings.model_copy(update={"dhcp": Dhcp(engine="dnsmasq", interface="gone")}))
    with pytest.raises(Invalid, match="unknown interface gone") as caught:
        namespace.run(lambda: other.apply(state((LAB,), (WEB,))))
    assert caught.value.code == "network_rolled_back"
    dnsmasq.wait(lambda: dnsmasq.starts == 2)
    assert client.lease(A).address == "10.99.0.10"
    [(kind, message, _)] = dnsmasq.reports
    assert kind == "network.rolled_back"
    assert "unknown interface gone" in message
    with pytest.raises(Invalid, match="unknown interface gone"):
        namespace.run(lambda: other.apply(state((LAB,), (WEB, Host("m2", B, "10.99.0.11")))))
    assert client.lease(B).address == "10.99.0.11"  # what else has changed is carried over all the same
    assert dnsmasq.starts == 2


def test_forwarders_are_asked_for_other_names_only(namespace: Namespace, settings: Settings) -> None:
    upstream = namespace.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with upstream:
        upstream.bind(("10.98.0.1", 5353))
        upstream.settimeout(5)
        asked = []

        def answer() -> None:
            query, sender = upstream.recvfrom(2000)
            message = dns.message.from_wire(query)
            asked.append(message.question[0].name.to_text())
            reply = dns.message.make_response(message)
            reply.answer.append(dns.rrset.from_text(message.question[0].name, 60, "IN", "A", "192.0.2.1"))
            upstream.sendto(reply.to_wire(), sender)

        with Running(namespace, settings) as running:
            running.start(state((LAB,), (WEB,), resolver=Resolver(("10.98.0.1#5353",))))
            thread = threading.Thread(target=answer)
            thread.start()
            assert running.ask("web9.lab.example")[0] == "NXDOMAIN"
            assert running.reverse("10.99.0.9")[0] == "NXDOMAIN"
            assert running.ask("example.com") == ("NOERROR", ["192.0.2.1"])
            thread.join()
    assert asked == ["example.com."]


def test_it_listens_on_its_interface_only(dnsmasq: Running, namespace: Namespace) -> None:
    sockets = subprocess.run(namespace.command(["ss", "-Hlnu"]), capture_output=True, text=True, check=True).stdout
    bound = {line.split()[3] for line in sockets.splitlines()}
    assert {address for address in bound if "fe80::" not in address} == {"10.99.0.1:53", "10.98.0.1:53", "0.0.0.0%server:67"}


def test_what_was_missed_when_it_was_killed_is_made_good(dnsmasq: Running, settings: Settings, client: DhcpClient) -> None:
    """Files were changed, and the one who changed them died before it could say so."""
    directory = settings.data_dir / "dnsmasq"
    (directory / ".outdated").touch()
    (directory / "dhcp-hosts.d" / "new-1").unlink()
    [names] = (directory / "hosts.d").iterdir()
    names.unlink()
    dnsmasq.apply(state((LAB,), ()))
    assert client.lease(A).address != "10.99.0.10"
    assert dnsmasq.ask("web1.lab.example")[0] == "NXDOMAIN"
    os.utime(directory / "dnsmasq.conf")
    assert dnsmasq.apply(state((LAB,), ())) is Change.RESTART
    dnsmasq.wait(lambda: dnsmasq.said("sockets bound") == 2)
    assert dnsmasq.apply(state((LAB,), ())) is Change.NOTHING


def test_a_few_hosts_at_once_are_there_without_a_restart(dnsmasq: Running, client: DhcpClient) -> None:
    few = tuple(Host(f"n{n}", f"52:54:00:00:01:{n:02x}", f"10.99.0.{n}", None, f"n{n}") for n in range(20, 60))
    assert dnsmasq.apply(state((LAB,), (WEB, *few))) is Change.RELOADED
    dnsmasq.wait(lambda: dnsmasq.said("/hosts.d/new-1") and dnsmasq.said("/dhcp-hosts.d/new-"))
    assert dnsmasq.ask("n59.metal.example") == ("NOERROR", ["10.99.0.59"])
    assert client.lease("52:54:00:00:01:3b").address == "10.99.0.59"
    others = (replace(few[0], name="other"), *few[2:])
    assert dnsmasq.apply(state((LAB,), (WEB, *others))) is Change.RELOADED
    dnsmasq.wait(lambda: dnsmasq.said("/dhcp-hosts/"))
    assert dnsmasq.ask("n20.metal.example")[0] == "NXDOMAIN"
    assert dnsmasq.ask("n21.metal.example")[0] == "NXDOMAIN"
    assert dnsmasq.ask("other.metal.example") == ("NOERROR", ["10.99.0.20"])
    assert dnsmasq.reverse("10.99.0.20") == ("NOERROR", ["other.metal.example."])
    assert dnsmasq.ask("n59.metal.example") == ("NOERROR", ["10.99.0.59"])
    assert dnsmasq.starts == 1


def test_many_hosts_at_once_and_the_one_who_changed_them_died_before_the_restart(
    dnsmasq: Running, settings: Settings, client: DhcpClient
) -> None:
    many = (
        *(Host(f"n{n}", f"52:54:00:00:01:{n:02x}", f"10.99.0.{n}", None, f"n{n}") for n in range(20, 90)),
        *(Host(f"v{n}", None, f"10.97.0.{n}", None, f"v{n}") for n in range(1, 255)),
    )
    assert dnsmasq.apply(state((LAB,), (WEB, *many))) is Change.RESTART
    assert dnsmasq.ask("n89.metal.example") == ("NOERROR", ["10.99.0.89"])
    assert dnsmasq.reverse("10.97.0.9") == ("NOERROR", ["v9.metal.example."])
    assert client.lease("52:54:00:00:01:59").address == "10.99.0.89"
    os.utime(settings.data_dir / "dnsmasq" / ".replaced")
    assert dnsmasq.apply(state((LAB,), (WEB, *many))) is Change.RESTART
    assert dnsmasq.apply(state((LAB,), (WEB, *many))) is Change.NOTHING
    assert dnsmasq.apply(state((LAB,), (WEB, *many[1:]))) is Change.RELOADED
    dnsmasq.wait(lambda: dnsmasq.said("new or modified") or dnsmasq.said("removed"))
    assert dnsmasq.ask("n20.metal.example")[0] == "NXDOMAIN"
    assert dnsmasq.reports == []


def test_the_log_tells_what_was_seen(dnsmasq: Running, client: DhcpClient) -> None:
    client.lease(A, **pxe(0))
    refused = client.ask(B, REQUEST, o50=socket.inet_aton("10.99.0.10"), o54=socket.inet_aton("10.99.0.1"))
    assert refused is not None
    assert refused.kind == NAK
    dnsmasq.wait(lambda: dnsmasq.said("DHCPNAK"))
    seen = [found for line in dnsmasq.log if (found := dnsmasq_log.parse(line))]
    assert seen[:4] == [
        DhcpSeen("discover", "server", A, None, ""),
        DhcpSeen("offer", "server", A, "10.99.0.10", ""),
        DhcpSeen("request", "server", A, "10.99.0.10", ""),
        DhcpSeen("ack", "server", A, "10.99.0.10", ""),
    ]
    assert (seen[-1].kind, seen[-1].mac, seen[-1].note) == ("nak", B, "address not available")
