# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks for an IPv6 router is told that there is none, so that iPXE does not wait 15 seconds for one."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from dhcp_client import Namespace

from metalwright.errors import Unavailable
from metalwright.network import router_solicitation

SOLICITATION = struct.pack("!BBHI", 133, 0, 0, 0)


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    made.run(made.settle)
    yield made
    made.remove()


@pytest.fixture
def server(namespace: Namespace) -> Iterator[socket.socket]:
    opened = namespace.run(lambda: router_solicitation.open_socket("server"))
    assert opened is not None
    opened.settimeout(5)
    with opened:
        yield opened


@pytest.fixture
def asker(namespace: Namespace) -> Iterator[socket.socket]:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"client")
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        made.settimeout(5)
        return made

    with namespace.run(make) as made:
        yield made


def ask(asker: socket.socket, packet: bytes = SOLICITATION) -> None:
    asker.sendto(packet, ("ff02::2", 0, 0, 0))


def advertisement(asker: socket.socket) -> tuple[bytes, int]:
    while True:
        packet, ancillary, _, _ = asker.recvmsg(1500, 64)
        if packet[0] == 134:
            return packet, struct.unpack("=i", ancillary[0][2])[0]


def test_there_is_no_router(server: socket.socket, asker: socket.socket) -> None:
    ask(asker)
    router_solicitation.answer(server, lambda: True)
    packet, hops = advertisement(asker)
    assert hops == 255
    _, code, _, hop_limit, flags, lifetime, reachable, retransmit = struct.unpack("!BBHBBHII", packet)
    assert (code, hop_limit, flags, lifetime, reachable, retransmit) == (0, 0, 0, 0, 0, 0)


def test_where_there_is_a_router_of_ours_it_speaks_for_itself(server: socket.socket, asker: socket.socket) -> None:
    ask(asker)
    router_solicitation.answer(server, lambda: False)
    asker.settimeout(0.05)
    with pytest.raises(TimeoutError):
        advertisement(asker)


def test_what_was_not_sent_on_this_link_is_not_answered(server: socket.socket, asker: socket.socket) -> None:
    asker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 64)
    ask(asker)
    asker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    ask(asker, SOLICITATION[:4])
    ask(asker)
    for _ in range(3):
        router_solicitation.answer(server, lambda: True)
    advertisement(asker)
    asker.settimeout(0.05)
    with pytest.raises(TimeoutError):
        advertisement(asker)


def test_the_interface_must_exist() -> None:
    with pytest.raises(Unavailable, match="mwtest-none"):
        router_solicitation.open_socket("mwtest-none")


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    assert router_solicitation.open_socket("lo") is None


def test_nothing_else_wakes_it(server: socket.socket, asker: socket.socket) -> None:
    ask(asker, struct.pack("!BBHI", 128, 0, 0, 0))
    server.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.recv(100)
