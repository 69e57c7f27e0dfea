# SPDX-License-Identifier: GPL-3.0-or-later
"""dnsmasq's lease file: read it, write it before dnsmasq runs, and have a running dnsmasq give a lease up.

An address that one machine still has on lease is not given to another, whatever the configuration says, until the lease ends.
dnsmasq has no command for that, but it believes a DHCPRELEASE (RFC 2131 section 4.4.6) that comes to its own address over the
interface it serves, and a DHCPv6 Release (RFC 8415 section 18.2.7) sent to all servers there; its own ``dhcp_release`` does the
same.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from metalwright.network.engines.configuration import replace
from metalwright.network.engines.leases import Lease, mac_of_duid

_ALL_SERVERS = "ff02::1:2"
_TEMPORARY = "T"
"""Stands before the IAID of a temporary address."""


def read(path: Path) -> list[Lease]:
    """The leases that dnsmasq has written down, which it does at every change. No file: no leases."""
    return [lease for line in _lines(path) if (lease := _lease(line.split()))]


def server_duid(path: Path) -> str | None:
    """By which dnsmasq is known to DHCPv6 clients; None before it has written a DHCPv6 lease down."""
    return next((line.split()[1] for line in _lines(path) if line.startswith("duid ")), None)


def forget(path: Path, unwanted: Iterable[Lease]) -> None:
    """Take leases out of the file; only while no dnsmasq runs, for it keeps them in memory and reads the file at its start."""
    gone = set(unwanted)
    replace(path, "".join(f"{line}\n" for line in _lines(path) if _lease(line.split()) not in gone))


def write(path: Path, leases: Iterable[Lease]) -> None:
    """Write the file anew, with dnsmasq's own DUID as it is; only while no dnsmasq runs."""
    duid = server_duid(path)
    lines = [f"{lease.expires} {lease.mac} {lease.address} * *" for lease in leases if lease.family == 4]
    six = [f"{lease.expires} {lease.iaid} {lease.address} * {lease.duid}" for lease in leases if lease.family == 6]
    if six:
        lines += [f"duid {duid or _new_duid()}", *six]
    replace(path, "".join(f"{line}\n" for line in lines))


def release(lease: Lease, interface: str, duid: str | None) -> None:
    """Tell dnsmasq that the client gives a lease up; ``duid`` is dnsmasq's own. It is not waited for an answer: look at the lease
    file. Raises ``OSError``."""
    if lease.family == 4:
        _release_4(lease, interface)
    elif duid:
        _release_6(lease, interface, duid)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _lease(parts: list[str]) -> Lease | None:
    """``expiry mac address name client-id``, or ``expiry iaid address name duid`` for DHCPv6."""
    if len(parts) != 5 or not parts[0].isdigit():
        return None
    if ":" not in parts[2]:
        return Lease(parts[2], int(parts[0]), parts[1].lower())
    iaid = parts[1].removeprefix(_TEMPORARY)
    return Lease(parts[2], int(parts[0]), mac_of_duid(parts[4]), parts[4], int(iaid)) if iaid.isdigit() else None


def _new_duid() -> str:
    """A DUID-UUID (RFC 6355)."""
    return (b"\0\4" + secrets.token_bytes(16)).hex(":")


def _release_4(lease: Lease, interface: str) -> None:
    mac = bytes.fromhex((lease.mac or "").replace(":", ""))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.connect((lease.address, 67))  # sends nothing, but shows which of our addresses is on that subnet
        server = sock.getsockname()[0]
        packet = struct.pack(
            "!BBBBIHH4s4s4s4s16s192xI",
            *(1, 1, len(mac), 0, secrets.randbits(32), 0, 0),
            *(socket.inet_aton(lease.address), bytes(4), bytes(4), bytes(4), mac),
            0x63825363,
        )
        sock.sendto(packet + b"\x35\x01\x07\x36\x04" + socket.inet_aton(server) + b"\xff", (server, 67))


def _release_6(lease: Lease, interface: str, duid: str) -> None:
    def option(code: int, data: bytes) -> bytes:
        return struct.pack("!HH", code, len(data)) + data

    address = option(5, socket.inet_pton(socket.AF_INET6, lease.address) + bytes(8))
    packet = bytes([8]) + secrets.token_bytes(3)
    packet += option(1, bytes.fromhex((lease.duid or "").replace(":", ""))) + option(2, bytes.fromhex(duid.replace(":", "")))
    packet += option(8, bytes(2)) + option(3, struct.pack("!III", lease.iaid or 0, 0, 0) + address)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(packet, (_ALL_SERVERS, 547, 0, socket.if_nametoindex(interface)))
