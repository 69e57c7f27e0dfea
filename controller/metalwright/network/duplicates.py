# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out who uses an address, before it is given to somebody else (RFC 5227 for IPv4, RFC 4862 section 5.4 for IPv6).

The question is asked from no address, so that nobody takes the asker for the owner: an ARP probe, or the neighbour solicitation
by which a host asks before it takes an address for itself. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import socket
import struct
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import structlog

log = structlog.get_logger()

PROBES = 3
PATIENCE = 0.2
"""Seconds that all probes take together; a host on the same wire answers within a few milliseconds."""
_ARP, _IPV6 = 0x0806, 0x86DD
_ASK, _ANSWER = 1, 2
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ROUTES = Path("/proc/thread-self/net/route")
_ROUTES_6 = Path("/proc/thread-self/net/ipv6_route")


def answering(interface: str, address: str, patience: float = PATIENCE) -> set[str]:
    """The MAC addresses that answer for an address on the wire of a network interface; empty when nobody uses it.

    Empty as well where it can not be asked: the address is not on that wire (a router might answer for it), or this user may not.
    """
    asked = ip_address(address)
    protocol = _ARP if asked.version == 4 else _IPV6
    if not _on_wire(interface, asked):
        return set()
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol)) as sock:
            sock.bind((interface, protocol))
            own = sock.getsockname()[4]
            probe = _arp(own, asked) if isinstance(asked, IPv4Address) else _solicitation(own, asked)
            return _ask(sock, probe, asked, patience) - {own.hex(":")}
    except OSError as error:
        log.warning("not looked whether the address is used", address=address, interface=interface, reason=error.strerror)
        return set()


def _ask(sock: socket.socket, probe: bytes, asked: IPv4Address | IPv6Address, patience: float) -> set[str]:
    found: set[str] = set()
    for _ in range(PROBES):
        sock.send(probe)
        until = time.monotonic() + patience / PROBES
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                packet = sock.recv(2048)
            except TimeoutError:
                break
            answer = _arp_answer(packet, asked) if asked.version == 4 else _advertisement(packet, asked)
            if answer:
                found.add(answer)
        if found:
            break
    return found


def _on_wire(interface: str, asked: IPv4Address | IPv6Address) -> bool:
    """Whether a route without a router leads there over that interface (proc(5), ``net/route`` and ``net/ipv6_route``)."""
    try:
        lines = (_ROUTES if asked.version == 4 else _ROUTES_6).read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    for words in map(str.split, lines):
        if asked.version == 4 and words[0] == interface and words[2] == "00000000":
            destination, mask = (int.from_bytes(bytes.fromhex(words[at]), "little") for at in (1, 7))
            if mask and int(asked) & mask == destination:
                return True
        if asked.version == 6 and words[9] == interface and words[4] == "0" * 32:
            length = int(words[1], 16)
            if 0 < length < 128 and int(asked) >> (128 - length) == int(words[0], 16) >> (128 - length):
                return True
    return False


def _arp(own: bytes, asked: IPv4Address) -> bytes:
    """RFC 5227 section 2.1.1: the sender's address is all zero."""
    return b"\xff" * 6 + own + struct.pack("!HHHBBH6s4s6s4s", _ARP, 1, 0x0800, 6, 4, _ASK, own, bytes(4), bytes(6), asked.packed)


def _arp_answer(packet: bytes, asked: IPv4Address | IPv6Address) -> str | None:
    """Who says that the address is its own: in an answer, or in a question of its own (RFC 5227 section 2.1.1)."""
    if len(packet) < 42 or packet[12:20] != struct.pack("!HHHBB", _ARP, 1, 0x0800, 6, 4) or packet[28:32] != asked.packed:
        return None
    return packet[22:28].hex(":")


def _solicitation(own: bytes, asked: IPv6Address) -> bytes:
    """RFC 4862 section 5.4.2: from the unspecified address, to the solicited-node group."""
    group = IPv6Address("ff02::1:ff00:0").packed[:13] + asked.packed[13:]
    body = struct.pack("!BBHI16s", _SOLICITATION, 0, 0, 0, asked.packed)
    pseudo = bytes(16) + group + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB16s16s", 6 << 28, len(body), 58, 255, bytes(16), group)
    return b"\x33\x33" + group[12:] + own + struct.pack("!H", _IPV6) + header + body


def _advertisement(packet: bytes, asked: IPv4Address | IPv6Address) -> str | None:
    """Who advertises the address: the target link-layer address option, else the sender of the frame."""
    if len(packet) < 78 or packet[20] != 58 or packet[21] != 255 or packet[54] != _ADVERTISEMENT or packet[62:78] != asked.packed:
        return None
    return (packet[80:86] if packet[78:80] == b"\2\1" and len(packet) >= 86 else packet[6:12]).hex(":")


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
