# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes on the wire of a DHCP option's value, from the form that ``network.options`` gives its type."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

_SIZES = {"u8": 1, "u16": 2, "u16s": 2, "u32": 4, "s32": 4}


def encoded(kind: str, text: str) -> bytes:
    """The bytes of a value of that type."""
    if kind in ("address", "addresses", "pairs"):
        return b"".join(ip_address(each).packed for each in text.split(","))
    if kind in _SIZES:
        signed = kind == "s32"
        return b"".join(int(each).to_bytes(_SIZES[kind], "big", signed=signed) for each in text.split(","))
    if kind == "flag":
        return bytes([text == "true"])
    if kind in ("name", "names"):
        return b"".join(_labels(each) for each in text.split(","))
    if kind == "routes":
        return b"".join(_route(each) for each in text.split(","))
    return bytes.fromhex(text.replace(":", "")) if kind == "hex" else text.encode("ascii")


def ntp_6(servers: Iterable[str]) -> bytes:
    """DHCPv6's NTP option: an address suboption for each server (RFC 5908 section 4.1)."""
    return b"".join(b"\0\1\0\x10" + IPv6Address(server).packed for server in servers)


def _labels(domain: str) -> bytes:
    """RFC 1035 section 3.1, not compressed."""
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in domain.split(".")) + b"\0"


def _route(text: str) -> bytes:
    """RFC 3442: the width of the destination, its significant octets, the router."""
    destination, router = text.split()
    network = IPv4Network(destination)
    significant = network.network_address.packed[: (network.prefixlen + 7) // 8]
    return bytes([network.prefixlen]) + significant + IPv4Address(router).packed
