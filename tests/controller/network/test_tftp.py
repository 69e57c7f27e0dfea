# SPDX-License-Identifier: GPL-3.0-or-later
"""The TFTP server against tftpy's client, a client of bare packets, and noise."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tftpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tftp_client import Client, ack, data, error, options, request

from metalwright.errors import Invalid
from metalwright.network.tftp import Server, TftpEvent
from metalwright.network.tftp_transfer import Files

LOADER = random.Random(1).randbytes(70_001)


class Running:
    """A server in a thread, its events, and a clock that can be put forward."""

    def __init__(self, root: Path, address: str = "127.0.0.1", max_transfers: int = 1000) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))
        self.address = ("127.0.0.1", self.sock.getsockname()[1])
        self.events: list[TftpEvent] = []
        self.now = 1000.0
        self._more = threading.Condition()
        self.server = Server(self.sock, root, max_transfers=max_transfers, on_event=self._on_event, clock=lambda: self.now)
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            self.server.step(0.02)

    def _on_event(self, event: TftpEvent) -> None:
        with self._more:
            self.events.append(event)
            self._more.notify_all()

    def event(self, wanted: Callable[[TftpEvent], bool]) -> TftpEvent:
        """The first event of that kind, waited for."""
        with self._more:
            assert self._more.wait_for(lambda: any(wanted(event) for event in self.events), timeout=5), self.events
            return next(event for event in self.events if wanted(event))

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()
        self.server.close()
        self.sock.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    served = tmp_path / "loaders"
    served.mkdir()
    (served / "undionly.kpxe").write_bytes(LOADER)
    (served / "whole").write_bytes(bytes(1024))
    (served / "empty").write_bytes(b"")
    (tmp_path / "secret").write_text("no")
    (served / "out").symlink_to("../secret")
    (served / "latest").symlink_to("undionly.kpxe")
    return served


@pytest.fixture
def running(root: Path) -> Iterator[Running]:
    server = Running(root)
    yield server
    server.stop()


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with Client(running.address) as made:
        yield made


@pytest.mark.parametrize("asked", [{}, {"blksize": 1468, "tsize": 0}, {"blksize": 8192}])
def test_another_client_reads_a_loader(running: Running, tmp_path: Path, asked: dict[str, int]) -> None:
    tftpy.TftpClient(*running.address, options=dict(asked)).download("undionly.kpxe", str(tmp_path / "got"), timeout=5)
    assert (tmp_path / "got").read_bytes() == LOADER
    event = running.event(lambda event: event.kind == "complete")
    assert (event.client, event.filename, event.bytes) == ("127.0.0.1", "undionly.kpxe", len(LOADER))


@pytest.mark.parametrize("name", ["undionly.kpxe", "/undionly.kpxe", "latest"])
@pytest.mark.parametrize(
    "asked", [{}, {"windowsize": 16}, {"blksize": 1428, "windowsize": 4, "tsize": 0, "timeout": 3}, {"blksize": 65464}]
)
def test_a_loader_arrives_whole(client: Client, name: str, asked: dict[str, int]) -> None:
    assert client.download(name, **asked) == LOADER


@pytest.mark.parametrize(("name", "size"), [("whole", 1024), ("empty", 0)])
def test_a_file_of_whole_blocks_ends_with_an_empty_one(client: Client, name: str, size: int) -> None:
    assert client.download(name) == bytes(size)
    assert client.download(name, windowsize=8) == bytes(size)


def test_block_numbers_roll_over(client: Client, root: Path) -> None:
    content = random.Random(2).randbytes(8 * 70_000 + 3)
    (root / "long").write_bytes(content)
    assert client.download("long", blksize=8, windowsize=64) == content


def test_options_are_agreed_on_or_left_out(client: Client) -> None:
    client.ask(request("undionly.kpxe", BLKSIZE=1024, tsize=0, timeout=2, windowsize=9, multicast=1))
    assert options(client.receive()) == {"blksize": "1024", "tsize": str(len(LOADER)), "timeout": "2", "windowsize": "9"}
    client.ask(request("undionly.kpxe", blksize="abc", timeout=0, windowsize=-1, tsize="x" * 30))
    assert data(client.receive()) == (1, LOADER[:512])


def test_a_window_lost_in_part_is_sent_again_from_the_gap(client: Client) -> None:
    client.ask(request("undionly.kpxe", windowsize=4))
    client.receive()
    client.send(ack(0))
    assert [data(client.receive())[0] for _ in range(4)] == [1, 2, 3, 4]
    client.send(ack(2))  # 3 was lost
    assert [data(client.receive())[0] for _ in range(4)] == [3, 4, 5, 6]
    client.send(ack(6))
    assert [data(client.receive())[0] for _ in range(4)] == [7, 8, 9, 10]
    client.send(ack(6))  # 7 was lost
    client.send(ack(6))  # said again for 8, 9 and 10: one answer is enough
    client.send(ack(6))
    assert [data(client.receive())[0] for _ in range(4)] == [7, 8, 9, 10]
    assert client.silent()


def test_a_duplicate_acknowledgement_does_not_double_the_traffic(client: Client) -> None:
    client.ask(request("undionly.kpxe"))
    client.receive()
    client.send(ack(1))
    client.send(ack(1))
    assert data(client.receive())[0] == 2
    assert client.silent()


def test_what_is_not_answered_is_sent_again_and_then_given_up(running: Running, client: Client) -> None:
    client.ask(request("undionly.kpxe", tsize=0))
    first = client.receive()
    for _ in range(5):
        running.now += 8
        assert client.receive() == first
    running.now += 8
    assert error(client.receive()) == (0, "no answer to the options, sent 6 times")
    assert running.event(lambda event: event.kind == "failed").seconds == 48
    assert running.server.transfers == 0


def test_the_client_says_how_long_to_wait(running: Running, client: Client) -> None:
    client.ask(request("undionly.kpxe", timeout=20))
    client.receive()
    client.send(ack(0))
    assert data(client.receive())[0] == 1
    running.now += 19
    assert client.silent()
    running.now += 1
    assert data(client.receive())[0] == 1


def test_a_transfer_that_never_ends_is_ended(running: Running, client: Client) -> None:
    client.ask(request("undionly.kpxe", timeout=30))
    client.receive()
    client.send(ack(0))
    for number in range(1, 23):
        assert data(client.receive())[0] == number
        running.now += 29
        client.send(ack(number))
    assert data(client.receive())[0] == 23
    running.now += 30
    assert error(client.receive()) == (0, "not finished after 600 s")


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (request("new", opcode=2), 2),
        (request("undionly.kpxe", opcode=2, tsize=9), 2),
        (request("../secret"), 2),
        (request("/../../../../etc/passwd"), 2),
        (request("out"), 2),
        (request("."), 1),
        (request("missing"), 1),
        (request("undionly.kpxe/x"), 1),
        (request("x" * 400), 0),
        (request("undionly.kpxe", mode="netascii"), 4),
        (b"\0\1undionly.kpxe\0octet\0blksize\0", 4),
        (b"\0\1undionly.kpxe", 4),
        (b"\0\1\0\0\0", 4),
        (request(b"\xff\xfe"), 4),
    ],
)
def test_what_is_not_served_is_refused(running: Running, client: Client, root: Path, packet: bytes, code: int) -> None:
    before = sorted(root.iterdir())
    client.ask(packet)
    found, message = error(client.receive())
    assert found == code
    assert str(root) not in message
    assert sorted(root.iterdir()) == before
    assert running.server.transfers == 0
    assert client.download("whole") == bytes(1024)


def test_the_answer_comes_from_the_address_that_was_asked(root: Path) -> None:
    running = Running(root, "0.0.0.0")
    try:
        with Client(("127.0.0.77", running.address[1])) as client:
            assert client.download("undionly.kpxe", blksize=1468) == LOADER
            assert client.peer is not None
            assert client.peer[0] == "127.0.0.77"
            client.ask(request("missing"))
            client.receive()
            assert client.peer[0] == "127.0.0.77"
    finally:
        running.stop()


def test_firmware_that_only_asks_for_the_size(running: Running, client: Client) -> None:
    client.ask(request("undionly.kpxe", tsize=0))
    assert options(client.receive()) == {"tsize": str(len(LOADER))}
    client.send(b"\0\5\0\0TFTP Aborted\0")
    assert client.download("undionly.kpxe", blksize=1456) == LOADER  # from the same port, at once
    running.event(lambda event: event.kind == "complete")
    assert running.kinds() == ["aborted", "complete"]


def test_a_request_sent_twice_is_one_transfer(running: Running, client: Client) -> None:
    again = request("undionly.kpxe")
    client.ask(again)
    first = client.receive()
    client.sock.sendto(again, client.server)
    assert client.silent()
    old = client.peer
    running.now += 1  # silent for as long as a machine takes to be reset: it starts anew
    client.sock.sendto(again, client.server)
    while (found := client.sock.recvfrom(2000))[1] == old:
        pass
    assert found[0] == first
    assert [(event.kind, event.message) for event in running.events] == [("aborted", "the client asked again")]
    assert running.server.transfers == 1


def test_a_client_that_is_gone_holds_no_place(running: Running) -> None:
    with Client(running.address) as client:
        client.ask(request("undionly.kpxe"))
        client.receive()
        client.send(ack(1))
        client.receive()
    running.now += 1  # what is sent again meets a closed port
    event = running.event(lambda event: event.kind == "failed")
    assert event.message == "the client closed its port"


def test_a_file_cut_short_is_an_error_and_not_a_short_file(running: Running, client: Client, root: Path) -> None:
    client.ask(request("undionly.kpxe"))
    client.receive()
    os.truncate(root / "undionly.kpxe", 700)
    client.send(ack(1))
    assert error(client.receive()) == (0, "the file was changed while it was sent")
    running.event(lambda event: event.kind == "failed")


def test_a_file_replaced_is_sent_as_it_was(client: Client, root: Path) -> None:
    client.ask(request("undionly.kpxe", blksize=65464))
    client.receive()
    (root / "next").write_bytes(b"new")
    (root / "next").rename(root / "undionly.kpxe")
    client.send(ack(0))
    assert data(client.receive())[1] == LOADER[:65464]
    client.send(ack(1))
    assert data(client.receive())[1] == LOADER[65464:]
    client.send(ack(2))
    with Client(client.server) as other:
        assert other.download("undionly.kpxe") == b"new"


def test_six_hundred_at_once(running: Running) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(running.address)) for _ in range(600)]
        for client in clients:
            client.ask(request("undionly.kpxe", blksize=16384))
        for client in clients:
            assert options(client.receive()) == {"blksize": "16384"}
        assert running.server.transfers == 600
        assert len(list(Path("/proc/self/fd").iterdir())) < 600 * 2 + 100  # one file, opened once
        for client in clients:
            client.send(ack(0))
        for number in range(1, 6):
            for client in clients:
                assert data(client.receive()) == (number, LOADER[(number - 1) * 16384 : number * 16384])
                client.send(ack(number))
        running.event(lambda _: running.kinds().count("complete") == 600)
        assert running.server.transfers == 0


def test_more_than_there_is_room_for_wait_in_line(root: Path) -> None:
    running = Running(root, max_transfers=3)
    with ExitStack() as stack:
        stack.callback(running.stop)
        clients = [stack.enter_context(Client(running.address)) for _ in range(7)]
        for client in clients[:3]:
            client.ask(request("empty"))
            client.receive()
        for client in clients[3:]:
            client.ask(request("empty"))
        assert all(client.silent() for client in clients[3:])
        assert (running.server.transfers, running.server.waiting) == (3, 3)
        for client in clients[:3]:
            client.send(ack(1))
        for client in clients[3:6]:  # without asking again
            assert data(client.receive()) == (1, b"")
            client.send(ack(1))
        assert clients[6].silent()  # there was no room in the line either
        assert clients[6].download("empty") == b""  # it asks again, as every client does


def test_an_event_that_can_not_be_told_does_not_end_the_server(root: Path) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def broken(_: TftpEvent) -> None:
        raise RuntimeError("the database is away")

    server = Server(sock, root, max_transfers=1, on_event=broken)
    with Client(sock.getsockname()) as client:
        for _ in range(2):
            client.ask(request("missing"))
            server.step(1)
            assert error(client.receive())[0] == 1
    server.close()
    sock.close()


def test_it_listens_on_ipv4(root: Path) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock, pytest.raises(Invalid, match="IPv4"):
        Server(sock, root, max_transfers=1, on_event=lambda _: None)


def test_noise_is_told_once_per_source_and_kind(running: Running, client: Client) -> None:
    for _ in range(20):
        client.ask(b"\xff\xff\0\0")
        client.ask(ack(7))
    client.ask(request("empty"))
    client.receive()
    for _ in range(20):
        client.send(b"\0\x09nothing")
        client.send(b"x")
    client.send(ack(1))
    running.event(lambda event: event.kind == "complete")
    assert sorted(event.message for event in running.events if event.kind == "malformed") == [
        "a packet that has no place in a transfer",
        "no request, but a packet of some transfer",
        "not a TFTP request",
    ]


words = st.one_of(
    st.binary(max_size=20), st.sampled_from([b"octet", b"undionly.kpxe", b"blksize", b"windowsize", b"tsize", b"8", b"1468"])
)
packets = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda opcode, rest: bytes([0, opcode]) + rest, st.integers(0, 8), st.binary(max_size=40)),
    st.builds(lambda opcode, parts: bytes([0, opcode]) + b"\0".join(parts), st.integers(1, 6), st.lists(words, max_size=9)),
    st.builds(lambda parts: b"\0\1undionly.kpxe\0octet\0" + b"\0".join(parts) + b"\0", st.lists(words, max_size=9)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=packets, second=packets)
def test_nothing_that_is_sent_ends_it(running: Running, first: bytes, second: bytes) -> None:
    with Client(running.address) as noisy:
        noisy.ask(first)
        if first[:2] == b"\0\1":
            noisy.receive()
            noisy.send(second)
        else:
            noisy.ask(second)
    with Client(running.address) as client:
        assert client.download("whole", blksize=1024) == bytes(1024)


def test_what_clients_ask_for_does_not_fill_memory(root: Path) -> None:
    """Packets are kept for the next client, but not more of them than a few MiB, and not of every block size there is."""
    path = root / "large"
    path.write_bytes(bytes(6 << 20))
    files = Files()
    large = files.open(path)
    kept = [large.packets(block) for block in (1024, 1432, 1456, 1468)]
    for number in range(1, 6 << 10):
        large.packet(1024, number)
    assert sum(map(len, kept[0].values())) <= (4 << 20) + 4 * len(kept[0])
    assert max(kept[0]) == (6 << 10) - 1
    large.packets(512)
    assert not kept[0], "the fifth size takes the place of the first, and transfers that still have it hold nothing"
    assert data(large.packet(1024, 7)) == (7, bytes(1024))
    files.close(large)
