# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the wire beside us: cards that use an address already, DHCP servers that are not ours."""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dhcp_client import DhcpClient, Namespace

from metalwright.network import duplicates
from metalwright.serve import foreign_dhcp
from metalwright.serve.foreign_dhcp import ForeignDhcp, ForeignServer


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """The other end of the cable, ``client``, is that of somebody who has addresses."""
    made, other = Namespace("10.99.0.1/24", "fd99::1/64"), Namespace()
    other.ip("link", "delete", "server")
    made.ip("link", "set", "client", "netns", other.name)
    for address in ("10.99.0.10/24", "fd99::10/64", "10.99.0.254/24"):
        other.ip("address", "add", address, "dev", "client", *(["nodad"] if ":" in address else []))
    other.ip("link", "set", "client", "address", "52:54:00:00:00:0a", "up")
    made.other = other  # type: ignore[attr-defined]
    yield made
    made.remove()
    other.remove()


@pytest.mark.parametrize("address", ["10.99.0.10", "fd99::10"])
def test_the_card_that_uses_an_address_answers(namespace: Namespace, address: str) -> None:
    assert namespace.run(lambda: duplicates.answering("server", address, 5)) == {"52:54:00:00:00:0a"}


@pytest.mark.parametrize("address", ["10.99.0.11", "fd99::11"])
def test_nobody_answers_for_an_address_that_is_free(namespace: Namespace, address: str) -> None:
    assert namespace.run(lambda: duplicates.answering("server", address, 0.05)) == set()


@pytest.mark.parametrize(("interface", "address"), [("server", "10.98.0.10"), ("server", "fd98::1"), ("none", "10.99.0.10")])
def test_what_is_not_on_the_wire_is_not_asked(namespace: Namespace, interface: str, address: str) -> None:
    assert namespace.run(lambda: duplicates.answering(interface, address, 60)) == set()


def test_one_who_may_not_ask_is_told_by_the_log(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(duplicates.socket, "socket", refused)
    assert namespace.run(lambda: duplicates.answering("server", "10.99.0.10")) == set()
    assert "not looked whether the address is used" in capsys.readouterr().out


def test_a_foreign_server_is_told_once_and_our_own_and_a_welcome_one_never(namespace: Namespace, tmp_path: Path) -> None:
    """Two servers answer the question: ours on this end of the cable, the other one's on that end."""
    found: list[ForeignServer] = []
    watch = namespace.run(lambda: ForeignDhcp("server", {"10.99.0.7"}, found.append))
    prefix = namespace.other.command([])  # type: ignore[attr-defined]
    command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=client", "--bind-interfaces"]
    command += ["--dhcp-range=10.99.0.200,10.99.0.210", f"--dhcp-leasefile={tmp_path}/leases", "--no-ping", "--log-facility=-"]
    server = subprocess.Popen([*prefix, *command, "--user=root"], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        while "sockets bound" not in server.stderr.readline():
            pass
        for _ in range(2):
            watch.ask()
            watch.listen()  # the question itself is no answer, and is not seen
    finally:
        server.kill()
        server.communicate()
        watch.close()
    [foreign] = found
    assert (foreign.server, foreign.mac) == ("10.99.0.10", "52:54:00:00:00:0a")
    assert foreign.offered.startswith("10.99.0.2")


def test_one_who_answers_as_a_thousand_servers_is_told_of_a_few_times(namespace: Namespace) -> None:
    found: list[ForeignServer] = []
    watch = namespace.run(lambda: ForeignDhcp("server", set(), found.append))

    def flood() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("client", 0))
            for number in range(foreign_dhcp.MOST + 10):
                payload = DhcpClient.message("52:54:00:00:00:0a", {53: b"\2", 54: bytes([10, 99, 1, number])})
                ip = b"\x45" + bytes(8) + b"\x11" + bytes(10)
                wire.send(b"\xff" * 6 + bytes.fromhex("52540000000a0800") + ip + b"\0\x43\0\x44" + bytes(4) + b"\2" + payload[1:])

    namespace.other.run(flood)  # type: ignore[attr-defined]
    for _ in range(foreign_dhcp.MOST + 10):
        watch.listen()
    watch.close()
    assert len(found) == foreign_dhcp.MOST


def test_nothing_that_is_received_ends_it() -> None:
    noise = random.Random(5)
    payload = DhcpClient.message("52:54:00:00:00:0a", {53: b"\2", 54: socket.inet_aton("10.99.0.9")})
    answer = b"\0" * 6 + bytes.fromhex("525400000009") + b"\x08\0" + b"\x45" + bytes(19) + bytes(8) + b"\2" + payload[1:]
    assert foreign_dhcp.read(answer) == ForeignServer("10.99.0.9", "52:54:00:00:00:09", "0.0.0.0")
    for length in (0, 1, 13, 42, 60, 281, len(answer) - 1):
        assert foreign_dhcp.read(answer[:length]) is None
        assert foreign_dhcp.read(noise.randbytes(length)) is None
    assert foreign_dhcp.read(answer[: answer.index(b"\x63\x82\x53\x63") + 4] + b"\x36\xff\1") is None
