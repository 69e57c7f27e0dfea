# SPDX-License-Identifier: GPL-3.0-or-later
"""Many TFTP clients in one process, so lean that the server is what is measured.

What the server has to send is known beforehand, packet by packet: a packet that was received is compared with the one that must
come, which checks its number and its content at the cost of one memcmp. Each client has an address and a socket of its own, asks
again after two seconds of silence, and has failed when six of those bring no answer: about what firmware does.
Run by tftp.py: tftp_load.py '{"server": [HOST, PORT], "file": PATH, ...}', the fields of ``Wish``
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

_RRQ, _DATA, _ACK, _ERROR, _OACK = 1, 3, 4, 5, 6
_SILENCE = 2.0
_TRIES = 6
_LOOK = 0.25


@dataclass(frozen=True)
class Wish:
    """``clients`` at once fetch the file ``times`` times each; the file is named as its copy here, at ``file``."""

    server: tuple[str, int]
    file: str
    clients: int
    times: int
    block: int
    window: int = 1
    first: str = ""
    """The first of as many local addresses as there are clients; empty: all of them have the same."""


@dataclass
class Tally:
    """What came of it. ``again``: packets that had to be sent once more. ``cpu``: seconds of this process."""

    bytes: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    again: int = 0
    failures: dict[str, int] = field(default_factory=dict)


class _Client:
    __slots__ = ("address", "heard", "left", "next", "recv", "send", "sock", "tries", "window")

    def __init__(self, address: str, times: int) -> None:
        self.address = address
        self.left = times


class Clients:
    """All of them, around one epoll."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        content = Path(wish.file).read_bytes()
        blocks = range(len(content) // wish.block + 1)
        self._size = len(content)
        self._expected = [
            struct.pack("!HH", _DATA, (at + 1) & 0xFFFF) + content[at * wish.block : (at + 1) * wish.block] for at in blocks
        ]
        self._acks = [struct.pack("!HH", _ACK, at & 0xFFFF) for at in range(len(blocks) + 1)]
        options = {"blksize": wish.block, "tsize": 0, **({"windowsize": wish.window} if wish.window > 1 else {})}
        asked = [Path(wish.file).name, "octet", *(str(word) for option in options.items() for word in option)]
        self._request = struct.pack("!H", _RRQ) + b"".join(word.encode() + b"\0" for word in asked)
        self._poll = select.epoll()
        self._open: dict[int, _Client] = {}
        self._tally = Tally()

    def run(self) -> Tally:
        """Until the last one is done."""
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(self._wish.clients):
            address = str(IPv4Address(self._wish.first) + number) if self._wish.first else ""
            self._ask(_Client(address, self._wish.times))
        look = began + _LOOK
        while self._open:
            events = self._poll.poll(_LOOK, 256)
            now = time.perf_counter()
            for descriptor, _ in events:
                self._hear(self._open[descriptor], now)
            if now > look:
                look = now + _LOOK
                for client in [each for each in self._open.values() if now - each.heard > _SILENCE]:
                    self._again(client, now)
        self._tally.seconds, self._tally.cpu = time.perf_counter() - began, time.process_time() - cpu
        return self._tally

    def _ask(self, client: _Client) -> None:
        client.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.sock.setblocking(False)
        client.sock.bind((client.address, 0))
        client.recv, client.send = client.sock.recv, client.sock.send
        client.next, client.window = -1, 1
        client.heard, client.tries = time.perf_counter(), 0
        self._open[client.sock.fileno()] = client
        self._poll.register(client.sock, select.EPOLLIN)
        client.sock.sendto(self._request, self._wish.server)

    def _hear(self, client: _Client, now: float) -> None:
        at = client.next
        if at < 0:
            return self._agree(client, now)
        try:
            packet = client.recv(65536)
        except ConnectionRefusedError:
            return self._end(client, "the server closed its port")
        if packet == self._expected[at]:
            client.next = at = at + 1
            client.heard = now
            if at == len(self._expected):
                client.send(self._acks[at])
                self._tally.bytes += self._size
                return self._end(client)
            if at % client.window == 0:
                client.send(self._acks[at])
            return None
        opcode, number = struct.unpack_from("!HH", packet.ljust(4, b"\0"))
        if opcode == _ERROR:
            return self._end(client, packet[4:].split(b"\0")[0].decode("latin-1"))
        if opcode == _OACK or (opcode == _DATA and (number - at) & 0xFFFF == 0 and packet == self._expected[at - 1]):
            self._tally.again += 1  # it was heard before: what answers it was lost
            client.send(self._acks[at])
            return None
        if opcode == _DATA and packet[4:] != self._expected[(at & ~0xFFFF) + number - 1][4:]:
            return self._end(client, "another content")
        return None  # out of its order: silence will have it sent again

    def _agree(self, client: _Client, now: float) -> None:
        """The first answer: options, from the port that the server has taken for this transfer."""
        packet, peer = client.sock.recvfrom(65536)
        if packet[:2] != struct.pack("!H", _OACK):
            return self._end(client, packet[4:].split(b"\0")[0].decode("latin-1") if packet[1] == _ERROR else "no options")
        words = [word.decode("latin-1").lower() for word in packet[2:].split(b"\0")[:-1]]
        agreed = dict(zip(words[::2], words[1::2], strict=True))
        if agreed.get("blksize") != str(self._wish.block) or agreed.get("windowsize", "1") != str(self._wish.window):
            return self._end(client, "another block or window size")
        client.sock.connect(peer)
        client.next, client.window, client.heard = 0, self._wish.window, now
        client.send(self._acks[0])
        return None

    def _again(self, client: _Client, now: float) -> None:
        client.tries += 1
        if client.tries > _TRIES:
            return self._end(client, "no answer" if client.next < 0 else "no more of it")
        client.heard = now
        self._tally.again += 1
        try:
            if client.next < 0:
                client.sock.sendto(self._request, self._wish.server)
            else:
                client.send(self._acks[client.next])
        except ConnectionRefusedError:
            return self._end(client, "the server closed its port")
        return None

    def _end(self, client: _Client, failure: str = "") -> None:
        del self._open[client.sock.fileno()]
        client.sock.close()
        if failure:
            self._tally.failures[failure] = self._tally.failures.get(failure, 0) + 1
        client.left -= 1
        if client.left:
            self._ask(client)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(asdict(Clients(Wish(**{**given, "server": tuple(given["server"])})).run())))
