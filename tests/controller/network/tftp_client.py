# SPDX-License-Identifier: GPL-3.0-or-later
"""A TFTP client of bare packets, for what no client does on purpose."""

from __future__ import annotations

import socket
import struct

RRQ, WRQ, DATA, ACK, ERROR, OACK = 1, 2, 3, 4, 5, 6


def request(name: str | bytes, mode: str = "octet", opcode: int = RRQ, **options: object) -> bytes:
    parts = [name if isinstance(name, bytes) else name.encode(), mode.encode()]
    for key, value in options.items():
        parts += [key.encode(), str(value).encode()]
    return struct.pack("!H", opcode) + b"".join(part + b"\0" for part in parts)


def ack(number: int) -> bytes:
    return struct.pack("!HH", ACK, number & 0xFFFF)


def options(packet: bytes) -> dict[str, str]:
    assert packet[:2] == struct.pack("!H", OACK), packet
    words = [word.decode() for word in packet[2:].split(b"\0")[:-1]]
    return dict(zip(words[::2], words[1::2], strict=True))


def data(packet: bytes) -> tuple[int, bytes]:
    opcode, number = struct.unpack("!HH", packet[:4])
    assert opcode == DATA, packet
    return number, packet[4:]


def error(packet: bytes) -> tuple[int, str]:
    opcode, code = struct.unpack("!HH", packet[:4])
    assert opcode == ERROR, packet
    return code, packet[4:].split(b"\0")[0].decode()


class Client:
    """One client port; ``peer`` is the server's transfer id, taken from the first answer."""

    def __init__(self, server: tuple[str, int], patience: float = 5.0) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(patience)
        self.server = server
        self.peer: tuple[str, int] | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(self, packet: bytes) -> None:
        self.peer = None
        self.sock.sendto(packet, self.server)

    def receive(self) -> bytes:
        packet, sender = self.sock.recvfrom(70000)
        self.peer = self.peer or sender
        assert sender == self.peer
        return packet

    def send(self, packet: bytes) -> None:
        assert self.peer is not None
        self.sock.sendto(packet, self.peer)

    def silent(self) -> bool:
        """Nothing more is there; ask only after something that the server answers in order."""
        self.sock.settimeout(0.05)
        try:
            self.sock.recv(70000)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(5)
        return False

    def download(self, name: str, **asked: object) -> bytes:
        """A whole file, acknowledged once a window."""
        self.ask(request(name, **asked))
        block, window = 512, 1
        if asked:
            agreed = options(self.receive())
            block, window = int(agreed.get("blksize", 512)), int(agreed.get("windowsize", 1))
            self.send(ack(0))
        content, count = [], 0
        while True:
            number, piece = data(self.receive())
            assert number == (count + 1) & 0xFFFF
            count += 1
            content.append(piece)
            last = len(piece) < block
            if last or count % window == 0:
                self.send(ack(count))
            if last:
                return b"".join(content)
