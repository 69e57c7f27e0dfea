# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences of packets at the real loop: afterwards it serves a good client, holds nothing of the others, and said it once."""

from __future__ import annotations

import socket
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from amounts import CASES, cases, large
from hypothesis import given
from hypothesis import strategies as st
from tftp_client import ack, data, error, request

from metalwright.network.tftp import Server, TftpEvent

TARGET = "TFTP packets"
LOADER = bytes(range(256)) * 40
MOST = 20
FOR_EVER = 600.0
"""Seconds after which no transfer of a client that is silent can be alive."""


class Loop:
    """A server that is stepped by hand, with a clock that is put forward, and every packet it may be asked by."""

    def __init__(self, root: Path) -> None:
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.listener.bind(("127.0.0.1", 0))
        self.events: list[TftpEvent] = []
        self.now = 1000.0
        self.server = Server(self.listener, root, max_transfers=MOST, on_event=self.events.append, clock=lambda: self.now)

    def settle(self) -> None:
        """Let it handle all there is."""
        for _ in range(3):
            self.server.step(0)

    def pass_time(self) -> None:
        """Until everybody who is silent is given up."""
        end = self.now + FOR_EVER
        while self.now < end and (self.server.transfers or self.server.waiting):
            self.now += 1.0
            self.settle()

    def download(self) -> bytes:
        """What a good client gets."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 0))
            client.setblocking(False)
            client.sendto(request("loader"), self.listener.getsockname())
            content, number = b"", 0
            while len(content) == 512 * number:
                self.settle()
                packet, sender = client.recvfrom(70_000)
                number, piece = data(packet)
                content += piece
                client.sendto(ack(number), sender)
            self.settle()
            return content

    def close(self) -> None:
        self.server.close()
        self.listener.close()


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    root = tmp_path_factory.mktemp("loaders")
    (root / "loader").write_bytes(LOADER)
    (root / "directory").mkdir()
    made = Loop(root)
    yield made
    made.close()


words = st.binary(max_size=20) | st.sampled_from(
    [
        *(b"octet", b"netascii", b"mail", b"loader", b"/loader", b"../secret", b"directory", b"", b"\xff\xfe", b"x" * 300),
        *(b"blksize", b"BLKSIZE", b"windowsize", b"tsize", b"timeout", b"multicast", b"rollover"),
        *(b"0", b"1", b"7", b"8", b"65464", b"65535", b"99999999999999999999", b"-1", b"1e3", b"\xb2"),
    ]
)
requests = st.builds(
    lambda opcode, parts, end: bytes([0, opcode]) + b"\0".join(parts) + end,
    st.sampled_from([1, 1, 1, 2]),
    st.lists(words, max_size=9) | st.lists(words, max_size=6).map(lambda more: [b"loader", b"octet", *more]),
    st.sampled_from([b"\0", b""]),
)
answers = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda opcode, number, rest: bytes([0, opcode]) + number.to_bytes(2, "big") + rest,
              st.integers(0, 8), st.integers(0, 65535) | st.sampled_from([0, 1, 2]), st.binary(max_size=20)),
    st.sampled_from([ack(0), ack(1), ack(2), ack(65535), b"\0\5\0\0x\0", b"\0\4", b"\0"]),
)  # fmt: skip
sent = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), requests | answers | st.binary(max_size=600), st.sampled_from([1, 1, 3])),
    min_size=1,
    max_size=12,
)


@cases(few=40, many=20_000)
@given(sent=sent, pause=st.sampled_from([0.0, 0.0, 0.5, 5.0]))
def test_it_serves_on_and_keeps_nothing(loop: Loop, sent: list[tuple[int, bool, bytes, int]], pause: float) -> None:
    CASES[TARGET] += sum(times for *_, times in sent)
    loop.events.clear()
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
    peers: dict[int, tuple[str, int]] = {}
    try:
        for client in clients:
            client.bind(("127.0.0.1", 0))
            client.setblocking(False)
        for number, into_transfer, packet, times in sent:
            to = peers.get(number) if into_transfer else None
            for _ in range(times):
                clients[number].sendto(packet, to or loop.listener.getsockname())
            loop.settle()
            loop.now += pause
            peers |= {number: peer for number, client in enumerate(clients) if (peer := last_sender(client))}
        assert loop.server.transfers <= MOST and loop.server.waiting <= MOST
        assert loop.download() == LOADER
    finally:
        for client in clients:
            client.close()
    loop.pass_time()
    assert (loop.server.transfers, loop.server.waiting) == (0, 0)
    said = Counter(
        (event.kind, event.client, event.filename, event.message) for event in loop.events if event.kind == "malformed"
    )
    assert not said or max(said.values()) == 1


def last_sender(client: socket.socket) -> tuple[str, int] | None:
    """Who answered last, all answers read."""
    sender: tuple[str, int] | None = None
    while True:
        try:
            _, sender = client.recvfrom(70_000)
        except BlockingIOError:
            return sender
        except ConnectionRefusedError:
            continue


def test_memory_does_not_grow_with_what_is_sent(loop: Loop) -> None:
    """Every name and every client is another one: what is remembered of them has an end."""
    rounds = 20 if large() else 2

    def storm(offset: int) -> int:
        for number in range(1100):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.bind((f"127.0.{number % 250 + 1}.{offset % 250 + 1}", 0))
                client.sendto(request(f"missing-{offset}-{number}"), loop.listener.getsockname())
                client.sendto(b"\xff" * (number % 500), loop.listener.getsockname())
            loop.settle()
        loop.pass_time()
        loop.events.clear()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = storm(0)
        last = [storm(number) for number in range(1, rounds)][-1]
    finally:
        tracemalloc.stop()
    CASES[TARGET] += 2 * 1100 * rounds
    assert last - first < 200_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(request("missing"), loop.listener.getsockname())
        loop.server.step(1)
        assert error(client.recv(600))[0] == 1
