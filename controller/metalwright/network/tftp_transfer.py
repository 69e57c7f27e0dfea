# SPDX-License-Identifier: GPL-3.0-or-later
"""One TFTP transfer: what was asked for, what was agreed, and which block is next.

RFC 1350 with the option extension (2347), blksize (2348), timeout and tsize (2349) and windowsize (7440). Requests, option
acknowledgements and errors are tftpy's packets. DATA and ACK, two per 512 bytes of a file, are packed here: they have four bytes
of header, and tftpy's classes cost more than the system calls around them.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tftpy.TftpPacketTypes import TftpPacketERR, TftpPacketOACK

DATA, ACK, ERROR = 3, 4, 5
NOT_DEFINED, NOT_FOUND, ACCESS_VIOLATION, ILLEGAL = 0, 1, 2, 4

Outcome = Literal["complete", "aborted", "failed"]

_HEADER = struct.Struct("!HH")
_DEFAULT_BLOCK = 512
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 8.0
_WAITS = 5
_LIFETIME = 600.0
_LONGEST_TIMEOUT = 30
_LARGEST_WINDOW = 64
_WINDOW_BYTES = 128 * 1024
"""A window larger than the socket's buffer would be lost in our own kernel."""
_BYTES_KEPT = 4 << 20
_SIZES_KEPT = 4


class Ended(Exception):
    """The transfer is over; ``message`` is for people. ``say`` it to the client too: the end is our doing."""

    def __init__(self, outcome: Outcome, message: str, *, say: bool = False) -> None:
        super().__init__(message)
        self.say = say
        self.outcome = outcome
        self.message = message


@dataclass(frozen=True)
class Agreed:
    """What client and server agreed on. ``options`` is the OACK, empty when the client asked for nothing we know."""

    block: int = _DEFAULT_BLOCK
    window: int = 1
    wait: float | None = None
    """Seconds until a packet is sent again, if the client said so; else they double from one to eight."""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def on(cls, asked: dict[str, str], size: int) -> Agreed:
        """Agree on what a client asked for; what is unknown or out of range is left out, as RFC 2347 wants."""
        options: dict[str, str] = {}
        block, window, wait = _DEFAULT_BLOCK, 1, None
        values = {name.lower(): _number(value) for name, value in asked.items()}
        if (wished := values.get("blksize")) is not None and 8 <= wished <= 65464:
            block = wished
            options["blksize"] = str(block)
        if (wished := values.get("timeout")) is not None and 1 <= wished <= _LONGEST_TIMEOUT:
            wait = float(wished)
            options["timeout"] = str(wished)
        if values.get("tsize") is not None:
            options["tsize"] = str(size)
        if (wished := values.get("windowsize")) is not None and 1 <= wished <= 65535:
            window = max(1, min(wished, _LARGEST_WINDOW, _WINDOW_BYTES // block))
            options["windowsize"] = str(window)
        return cls(block, window, wait, options)


def _number(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else None


class Files:
    """Open files, each opened once however many transfers send it."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int, int, int], OpenFile] = {}

    def open(self, path: Path) -> OpenFile:
        """Open a regular file; raises ``OSError``. Every ``open`` is followed by one ``close``."""
        found = path.stat()
        key = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        opened = self._open.get(key)
        if opened is None:
            opened = self._open[key] = OpenFile(key, os.open(path, os.O_RDONLY | os.O_CLOEXEC), found.st_size)
        opened.users += 1
        return opened

    def close(self, opened: OpenFile) -> None:
        """Let go of a file; the last transfer closes it."""
        opened.users -= 1
        if opened.users == 0:
            del self._open[opened.key]
            os.close(opened.descriptor)


@dataclass
class OpenFile:
    """A file that is being sent: ``size`` bytes behind ``descriptor``.

    Machines that are turned on together fetch the same file side by side, so the packets made last are kept for the next one.
    """

    key: tuple[int, int, int, int]
    descriptor: int
    size: int
    users: int = 0
    _made: dict[int, dict[int, bytes]] = field(default_factory=dict)
    """By the size of a block, then by its number."""

    def packets(self, block: int) -> dict[int, bytes]:
        """The DATA packets of that block size that are kept, by number from 1; ``packet`` makes those that are missing.

        When too many sizes are asked for, those of the size asked for first are no longer shared.
        """
        if block not in self._made and len(self._made) == _SIZES_KEPT:
            self._made.pop(next(iter(self._made))).clear()  # transfers still hold it: what clients ask for must not fill memory
        return self._made.setdefault(block, {})

    def packet(self, block: int, number: int) -> bytes:
        """Make and keep a DATA packet. Raises ``Ended`` when the file has become shorter."""
        offset = (number - 1) * block
        content = os.pread(self.descriptor, block, offset)
        if len(content) != min(block, self.size - offset):
            raise Ended("failed", "the file was changed while it was sent", say=True)
        packets = self.packets(block)
        if len(packets) * block >= _BYTES_KEPT:
            del packets[next(iter(packets))]
        packets[number] = made = _HEADER.pack(DATA, number & 0xFFFF) + content
        return made


class Transfer:
    """One file on its way to one client, over a socket of its own that is connected to it (its port is our transfer id).

    Blocks are counted from 1 without end; only on the wire they are 16 bits wide and roll over to 0. Every method may raise
    ``Ended`` or ``OSError``, after which the transfer is over. Times are seconds of the server's clock.
    """

    __slots__ = (
        "_acked",
        "_agreed",
        "_blocks",
        "_fresh",
        "_negotiating",
        "_packets",
        "_sent",
        "_waits",
        "blocked",
        "client",
        "due",
        "file",
        "filename",
        "heard",
        "request",
        "sock",
        "started",
    )

    def __init__(
        self, sock: socket.socket, client: tuple[str, int], request: bytes, filename: str, asked: dict[str, str], file: OpenFile
    ) -> None:
        self.sock = sock
        self.client = client
        self.request = request
        """The datagram that asked for it: the same one again is a retransmission."""
        self.filename = filename
        self.file = file
        self.due = 0.0
        """When ``wake`` is to be called, unless something is heard before."""
        self.heard = 0.0
        """When the client was last heard."""
        self.started = 0.0
        self.blocked = False
        """The socket is full; ``go_on`` is to be called when it can be written to."""
        self._agreed = Agreed.on(asked, file.size)
        self._blocks = file.size // self._agreed.block + 1
        self._packets = file.packets(self._agreed.block)
        self._negotiating = bool(self._agreed.options)
        self._acked = 0
        self._sent = 0
        self._waits = 0
        self._fresh = True

    @property
    def done_bytes(self) -> int:
        """Bytes of the file that the client has acknowledged."""
        return min(self._acked * self._agreed.block, self.file.size)

    def begin(self, now: float) -> None:
        """Send the first packet: the options agreed on, or data."""
        self.started = self.heard = now
        self._send_again(now)

    def receive(self, packet: bytes, now: float) -> bool:
        """Take a packet of the client; False says that it makes no sense."""
        if len(packet) < 4:
            return False
        opcode, number = _HEADER.unpack_from(packet)
        if opcode == ERROR:
            words = packet[4:].split(b"\0")[0][:128].decode("ascii", "replace")
            raise Ended(
                "failed" if self._acked else "aborted", f"the client ended it with error {number}{': ' + words if words else ''}"
            )
        if opcode != ACK:
            return False
        self.heard = now
        if self._negotiating:
            if number == 0:
                self._negotiating = False
                self._advance(now)
            return True
        steps = (number - self._acked) & 0xFFFF
        if 0 < steps <= self._sent - self._acked:
            self._acked += steps
            if self._acked == self._blocks:
                raise Ended("complete", "sent")
            self._fresh = self._acked == self._sent
            self._advance(now)
        elif steps == 0 and self._agreed.window > 1 and self._fresh and self._sent > self._acked:
            # RFC 7440: the first block of the window was lost. Answered once: the client may say so for each block after it.
            # With a window of one it is a duplicate, and answering those doubles every packet from there on (RFC 1123 4.2.3.1).
            self._fresh = False
            self._advance(now)
        return True

    def go_on(self) -> None:
        """Send what is left of the window, as far as the socket takes it."""
        last = min(self._acked + self._agreed.window, self._blocks)
        self.blocked = False
        while self._sent < last:
            number = self._sent + 1
            packet = self._packets.get(number) or self.file.packet(self._agreed.block, number)
            try:
                self.sock.send(packet)
            except BlockingIOError:
                self.blocked = True
                return
            self._sent = number

    def wake(self, now: float) -> None:
        """Nothing was heard until ``due``: send again, or give up."""
        if now - self.started > _LIFETIME:
            raise Ended("failed", f"not finished after {_LIFETIME:.0f} s", say=True)
        if self._waits == _WAITS:
            what = "the options" if self._negotiating else f"block {self._acked + 1} of {self._blocks}"
            raise Ended("failed", f"no answer to {what}, sent {_WAITS + 1} times", say=True)
        self._waits += 1
        self._send_again(now)

    def _advance(self, now: float) -> None:
        self._waits = 0
        self._sent = self._acked
        self.due = now + self._wait()
        self.go_on()

    def _send_again(self, now: float) -> None:
        self._sent = self._acked
        self.due = now + self._wait()
        if not self._negotiating:
            self.go_on()
            return
        packet = TftpPacketOACK()
        packet.options = self._agreed.options
        with suppress(BlockingIOError):  # as good as lost on the way
            self.sock.send(packet.encode().buffer)

    def _wait(self) -> float:
        return self._agreed.wait or min(_FIRST_WAIT * 2**self._waits, _LONGEST_WAIT)


def error_packet(code: int, message: str) -> bytes:
    """An ERROR packet of RFC 1350 in our own words."""
    packet = TftpPacketERR()
    packet.errorcode = code
    packet.errmsgs[code] = message.encode("ascii", "replace")
    buffer: bytes = packet.encode().buffer
    return buffer
