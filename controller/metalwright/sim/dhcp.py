# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP (RFC 2131) by way of a relay agent (RFC 1542, section 4): one UDP socket for all machines, told apart by transaction.

The relay's address is in the machines' subnet; the server answers to it, port 67, whichever machine asked.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass
from typing import Literal

from metalwright.sim.http import Cable

_DISCOVER, _OFFER, _REQUEST, _ACK, _NAK = 1, 2, 3, 5, 6
_MAGIC = 0x63825363
_SERVER_PORT = 67
_PAUSES = (4.0, 8.0, 16.0, 32.0)
"""Seconds until a message is sent again (RFC 2131, section 4.1)."""
_ARCHITECTURES = {"bios": 0, "uefi": 7}


_Said = tuple[int, dict[int, bytes], str, str, str]
"""An answer: its kind, its options, the address given, the next server, the boot file."""


class NoLease(Exception):
    """No server answered, or it said no."""


@dataclass(frozen=True)
class Lease:
    """What the server gave: an address, and what to boot from where."""

    address: str
    server: str
    file: str


class Relay(asyncio.DatagramProtocol):
    """Carries machines' messages to the server and its answers back."""

    def __init__(self, address: str, server: str) -> None:
        self.address = address
        self._server = server
        self._waiting: dict[int, asyncio.Future[_Said]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        """Bind port 67 of the relay's address; ``OSError`` where that is not allowed or it is taken."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(self.address, _SERVER_PORT))

    def close(self) -> None:
        """Let go of the port."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the socket."""
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
        """Hand an answer to the machine that waits for it."""
        if len(data) < 240 or data[0] != 2:
            return
        waiting = self._waiting.get(struct.unpack_from("!I", data, 4)[0])
        if waiting is None or waiting.done():
            return
        options = _options(data[240:])
        kind = options.get(53, b"\0")[0]
        file = (options.get(67) or data[108:236]).split(b"\0")[0].decode("latin-1")
        waiting.set_result((kind, options, socket.inet_ntoa(data[16:20]), socket.inet_ntoa(data[20:24]), file))

    async def lease(self, mac: str, firmware: Literal["bios", "uefi"], *, ipxe: bool, cable: Cable, dice: random.Random) -> Lease:
        """DISCOVER to ACK, as firmware or as iPXE asks. Raises ``NoLease``."""
        asked = _asked(firmware, ipxe=ipxe)
        xid = dice.getrandbits(32)
        kind, options, address, *_ = await self._ask(mac, xid, {53: bytes([_DISCOVER]), **asked}, (_OFFER,), cable)
        wanted = {53: bytes([_REQUEST]), 50: socket.inet_aton(address), 54: options[54], **asked}
        kind, _, address, server, file = await self._ask(mac, xid, wanted, (_ACK, _NAK), cable)
        if kind == _NAK:
            raise NoLease("the server takes its offer back")
        return Lease(address, server, file)

    async def _ask(self, mac: str, xid: int, options: dict[int, bytes], kinds: tuple[int, ...], cable: Cable) -> _Said:
        message = self._message(mac, xid, options)
        for pause in _PAUSES:
            await cable.late()
            answer: asyncio.Future[_Said] = asyncio.get_running_loop().create_future()
            self._waiting[xid] = answer
            try:
                for _ in range(1 + cable.repeated()):
                    if self._transport is not None and not cable.lost(0.5):
                        self._transport.sendto(message, (self._server, _SERVER_PORT))
                async with asyncio.timeout(pause):
                    found = await answer
                    if found[0] in kinds and not cable.lost(0.5):
                        return found
            except TimeoutError:
                continue
            finally:
                self._waiting.pop(xid, None)
        raise NoLease("no DHCP server answers")

    def _message(self, mac: str, xid: int, options: dict[int, bytes]) -> bytes:
        hardware, relay = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(self.address)
        fixed = (1, 1, 6, 1, xid, 0, 0, *[bytes(4)] * 3, relay, hardware, _MAGIC)
        packed = b"".join(bytes([code, len(value)]) + value for code, value in options.items())
        return struct.pack("!BBBBIHH4s4s4s4s16s192xI", *fixed) + packed + b"\xff"


def _asked(firmware: Literal["bios", "uefi"], *, ipxe: bool) -> dict[int, bytes]:
    """Options that tell firmware and iPXE apart (RFC 4578; iPXE's own are 77 and 175)."""
    architecture = _ARCHITECTURES[firmware]
    options = {
        60: f"PXEClient:Arch:{architecture:05d}:UNDI:003016".encode(),
        93: struct.pack("!H", architecture),
        94: b"\1\3\x10",
        55: bytes([1, 3, 6, 12, 15, 43, 60, 66, 67]),
    }
    return {**options, 77: b"iPXE", 175: b"\xb1\5\1\x80\x86\x10\x0e"} if ipxe else options


def _options(packed: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(packed) and packed[at] != 255:
        if packed[at] == 0:
            at += 1
            continue
        length = packed[at + 1]
        found[packed[at]] = packed[at + 2 : at + 2 + length]
        at += 2 + length
    return found
