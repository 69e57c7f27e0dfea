# SPDX-License-Identifier: GPL-3.0-or-later
"""Many HTTP downloads in one process, which has the kernel throw the bodies away: what is measured is who sends them.

tcp(7): received with ``MSG_TRUNC``, bytes are counted and dropped, and never copied. Each download has a connection of its own.
Run by files.py: files_load.py '{"server": [HOST, PORT], "path": PATH, ...}', the fields of ``Wish``
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

_PIECE = 1 << 20
_PATIENCE = 60.0
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) .*?\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE | re.DOTALL)
_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Wish:
    """``clients`` at once download ``times`` times each: all of it, or a ``part`` of so many bytes, another one each time."""

    server: tuple[str, int]
    path: str
    size: int
    clients: int
    times: int
    part: int = 0


@dataclass
class Tally:
    """What came of it. ``cpu``: seconds of this process."""

    bytes: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)


class _Download:
    __slots__ = ("done", "head", "heard", "left", "length", "sock", "turn")

    def __init__(self, turn: int, times: int) -> None:
        self.turn = turn
        self.left = times


class Clients:
    """All of them, around one epoll."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._poll = select.epoll()
        self._open: dict[int, _Download] = {}
        self._dropped = bytearray(_PIECE)
        self._tally = Tally()

    def run(self) -> Tally:
        """Until the last one is done."""
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(self._wish.clients):
            self._ask(_Download(number * self._wish.times, self._wish.times))
        while self._open:
            for descriptor, _ in self._poll.poll(1.0, 256):
                self._hear(self._open[descriptor])
            now = time.perf_counter()
            for silent in [each for each in self._open.values() if now - each.heard > _PATIENCE]:
                self._end(silent, "no more of it")
        self._tally.seconds, self._tally.cpu = time.perf_counter() - began, time.process_time() - cpu
        return self._tally

    def _ask(self, download: _Download) -> None:
        wish = self._wish
        start = download.turn * wish.part % wish.size
        wanted = f"Range: bytes={start}-{start + wish.part - 1}\r\n" if wish.part else ""
        download.sock = socket.create_connection(wish.server, _PATIENCE)
        download.sock.sendall(f"GET {wish.path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{wanted}\r\n".encode())
        download.sock.setblocking(False)
        download.head, download.done, download.heard = b"", -1, time.perf_counter()
        download.length = min(wish.part, wish.size - start) if wish.part else wish.size
        self._open[download.sock.fileno()] = download
        self._poll.register(download.sock, select.EPOLLIN)

    def _hear(self, download: _Download) -> None:
        download.heard = time.perf_counter()
        try:
            if download.done < 0:
                return self._hear_head(download)
            count = download.sock.recv_into(self._dropped, _PIECE, socket.MSG_TRUNC)
        except BlockingIOError:
            return None
        except OSError as error:
            return self._end(download, str(error))
        download.done += count
        if download.done == download.length:
            self._tally.bytes += download.length
            return self._end(download)
        return None if count else self._end(download, "cut short")

    def _hear_head(self, download: _Download) -> None:
        download.head += download.sock.recv(1 << 12)
        if _END not in download.head:
            return None if download.head else self._end(download, "no answer")
        head, _, body = download.head.partition(_END)
        answer = _ANSWER.match(head + b"\r\n")
        status, length = answer.groups() if answer else (b"no answer", b"0")
        if status != (b"206" if self._wish.part else b"200") or int(length) != download.length:
            return self._end(download, f"{status.decode()}, {length.decode()} bytes")
        download.done = len(body)
        return None

    def _end(self, download: _Download, failure: str = "") -> None:
        del self._open[download.sock.fileno()]
        download.sock.close()
        if failure:
            self._tally.failures[failure] = self._tally.failures.get(failure, 0) + 1
        download.turn += 1
        download.left -= 1
        if download.left:
            self._ask(download)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(asdict(Clients(Wish(**{**given, "server": tuple(given["server"])})).run())))
