# SPDX-License-Identifier: GPL-3.0-or-later
"""dnsmasq's leases: read them, and have it give one up.

An address that one machine still has on lease is not given to another, whatever the configuration says, until the lease ends.
dnsmasq has no command for that, but it believes a DHCPRELEASE (RFC 2131 section 4.4.6) that comes to its own address over the
interface it serves; dnsmasq's own ``dhcp_release`` does the same.
"""

from __future__ import annotations

import secrets
import socket
import struct
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lease:
    """One line of the lease file."""

    mac: str
    address: str
    line: str


def read(path: Path) -> list[Lease]:
    """The leases that dnsmasq has written down, which it does at every change. No file: no leases."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return []
    words = ((line.split(), line) for line in text.splitlines())
    return [Lease(parts[1].lower(), parts[2], line) for parts, line in words if len(parts) == 5]


def forget(path: Path, unwanted: set[Lease]) -> None:
    """Take leases out of the file; only while no dnsmasq runs, for it keeps them in memory and reads the file at its start."""
    kept = [lease.line for lease in read(path) if lease not in unwanted]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="ascii")


def release(lease: Lease, interface: str) -> None:
    """Send dnsmasq the DHCPRELEASE of a lease. It is never answered; look at the lease file. Raises ``OSError``."""
    mac = bytes.fromhex(lease.mac.replace(":", ""))
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
