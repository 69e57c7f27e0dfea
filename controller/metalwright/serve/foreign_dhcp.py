# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices a DHCP server on our wire that is not ours.

Two servers with different ideas make machines fail to boot now and then, and nothing in our log says why. So now and then a
question is broadcast from a card that does not exist, and whoever else answers it, or any other question in a way that is seen
here, is told once. The cost: one DISCOVER in five minutes, which our own server answers with an offer nobody takes; and a filter
in the kernel that lets answers of DHCP servers through and nothing else.
"""

from __future__ import annotations

import ctypes
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

EVERY = 300.0
"""Seconds between two questions."""
MOST = 32
"""Servers that are told of until the process is started again: anybody on the wire can answer as any number of them."""
_IP = 0x0800
_SO_ATTACH_FILTER = 26
_OFFER, _ACK = 2, 5
_FILTER = (
    # IPv4, UDP, no later fragment, from port 67: accept
    (0x28, 0, 0, 12),
    (0x15, 0, 8, _IP),
    (0x30, 0, 0, 23),
    (0x15, 0, 6, 17),
    (0x28, 0, 0, 20),
    (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 14),
    (0x48, 0, 0, 14),
    (0x15, 0, 1, 67),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""Classic BPF (bpf(4)): operation, jumps if true and false, operand."""


@dataclass(frozen=True)
class ForeignServer:
    """A DHCP server by its identifier (option 54), the card it answered from, and an address it gave or offered."""

    server: str
    mac: str
    offered: str


class ForeignDhcp:
    """Listens on one network interface. ``known`` are servers that are welcome; ``tell`` is called once for each of the
    first ``MOST`` others."""

    def __init__(self, interface: str, known: Collection[str], tell: Callable[[ForeignServer], None]) -> None:
        """Raises ``OSError``: there is no such interface, or this user may not listen there (CAP_NET_RAW)."""
        self._interface = interface
        self._known = set(known)
        self._to_tell = MOST
        self._tell = tell
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing comes before the filter is there
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER))
        program = struct.pack("HP", len(_FILTER), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.bind((interface, _IP))

    def start(self) -> None:
        """Ask and listen in threads that end with the process."""
        for act in (self._ask_for_ever, self._listen_for_ever):
            threading.Thread(target=act, name="foreign-dhcp", daemon=True).start()

    def close(self) -> None:
        """Look no more; not while the threads of ``start`` run."""
        self._socket.close()

    def ask(self) -> None:
        """Broadcast a DISCOVER from a card that is nobody's (a locally administered address). Raises ``OSError``."""
        card = bytes([2, *secrets.token_bytes(5)])
        fixed = (1, 1, 6, 0, secrets.randbits(32), 0, 0x8000, *[bytes(4)] * 4, card, 0x63825363)
        payload = struct.pack("!BBBBIHH4s4s4s4s16s192xI", *fixed) + b"\x35\1\1\xff"
        udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        self._socket.send(b"\xff" * 6 + card + struct.pack("!H", _IP) + header + udp)

    def listen(self) -> None:
        """Wait for one packet, and tell of its sender if that is news. Raises ``OSError``."""
        packet, sender = self._socket.recvfrom(2048)
        if sender[2] == socket.PACKET_OUTGOING:
            return  # our own server's
        found = read(packet)
        if found is not None and found.server not in self._known and self._to_tell:
            self._to_tell -= 1
            self._known.add(found.server)
            self._tell(found)

    def _ask_for_ever(self) -> None:
        while True:
            try:
                self.ask()
            except OSError as error:
                log.warning("not asked for foreign DHCP servers", interface=self._interface, reason=error.strerror)
            time.sleep(EVERY)

    def _listen_for_ever(self) -> None:
        while True:
            try:
                self.listen()
            except OSError:  # the interface went down
                time.sleep(1)


def read(packet: bytes) -> ForeignServer | None:
    """Who sent a DHCP offer or acknowledgement, of a frame of Ethernet; None for everything else, whatever it looks like."""
    try:
        start = 14 + (packet[14] & 15) * 4 + 8
        payload = packet[start:]
        if payload[0] != 2 or payload[236:240] != b"\x63\x82\x53\x63":
            return None
        kind, server, at = 0, "", 240
        while payload[at] != 255:
            if payload[at] == 0:
                at += 1
                continue
            code, value = payload[at], payload[at + 2 : at + 2 + payload[at + 1]]
            kind = value[0] if code == 53 else kind
            server = socket.inet_ntoa(value) if code == 54 else server
            at += 2 + payload[at + 1]
    except (IndexError, OSError):
        return None
    if kind not in (_OFFER, _ACK) or not server:
        return None
    return ForeignServer(server, packet[6:12].hex(":"), socket.inet_ntoa(payload[16:20]))


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack("!10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
