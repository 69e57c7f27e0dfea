# SPDX-License-Identifier: GPL-3.0-or-later
"""A TFTP download (RFC 1350, with ``blksize`` of RFC 2348) as firmware makes it: one socket a transfer, content dropped."""

from __future__ import annotations

import asyncio
import struct

from metalwright.sim.http import Cable

_RRQ, _DATA, _ACK, _ERROR, _OACK = 1, 3, 4, 5, 6
_PORT = 69
_BLOCK = 1456
"""What UEFI firmware asks for."""
_PAUSE = 2.0
_TRIES = 6


class NoFile(Exception):
    """The server does not answer, or says that it does not have the file."""


class _Transfer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.packets: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.put_nowait((data, addr))


async def download(server: str, name: str, cable: Cable) -> int:
    """Fetch a file and return its size in bytes. Raises ``NoFile``."""
    local = (cable.source, 0) if cable.source else ("0.0.0.0", 0)  # noqa: S104 - a client's socket
    loop = asyncio.get_running_loop()
    transport, transfer = await loop.create_datagram_endpoint(_Transfer, local_addr=local)
    try:
        return await _download(transport, transfer.packets, server, name, cable)
    finally:
        transport.close()


async def _download(
    transport: asyncio.DatagramTransport,
    packets: asyncio.Queue[tuple[bytes, tuple[str, int]]],
    server: str,
    name: str,
    cable: Cable,
) -> int:
    packet = struct.pack("!H", _RRQ) + b"\0".join([name.encode(), b"octet", b"blksize", str(_BLOCK).encode(), b""])
    peer, block, size, expected, tries = (server, _PORT), 512, 0, 1, 0
    while True:
        if not cable.lost(0.5):
            transport.sendto(packet, peer)
        try:
            async with asyncio.timeout(_PAUSE):
                answer, peer = await packets.get()
        except TimeoutError:
            tries += 1
            if tries == _TRIES:
                raise NoFile(f"{name}: no answer") from None
            continue
        if cable.lost(0.5):
            continue
        opcode, number = struct.unpack_from("!HH", answer.ljust(4, b"\0"))
        if opcode == _ERROR:
            raise NoFile(f"{name}: {answer[4:].split(bytes(1))[0].decode('latin-1')}")
        if opcode == _OACK:
            block = _BLOCK if b"blksize" in answer else 512
            packet = struct.pack("!HH", _ACK, 0)
        elif opcode == _DATA and number == expected & 0xFFFF:
            size += len(answer) - 4
            expected, tries = expected + 1, 0
            packet = struct.pack("!HH", _ACK, number)
            if len(answer) - 4 < block:
                transport.sendto(packet, peer)
                return size
