# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP options as dnsmasq's files have them.

dnsmasq knows the types of some options and takes those as text only. Any other is written as the bytes that go on the wire, so
that it is sent as it was meant, whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Literal

from metalwright.network import options
from metalwright.network.model import Option

_TEXT = {4: {17, 18, 40, 64, 100, 101, 114}, 6: {21, 29, 30, 32, 41, 42, 103}}
"""By family: text, names and times that dnsmasq 2.90 takes as text only (its ``opttab`` and ``opttab6``)."""
_SIZES = {"u8": 1, "u16": 2, "u16s": 2, "u32": 4, "s32": 4}


def name(family: Literal[4, 6]) -> str:
    """What stands before the number of an option."""
    return "option6:" if family == 6 else ""


def value(option: Option) -> str:
    """What stands behind the number of an option: a comma and the value."""
    kind = options.find(option.family, option.code).type
    if kind in ("address", "addresses", "pairs"):
        return "".join(f",[{each}]" if option.family == 6 else f",{each}" for each in option.value.split(","))
    if option.code in _TEXT[option.family]:
        return f",{option.value}"
    return _bytes(_encoded(kind, option.value))


def suboptions_of_ntp(servers: Iterable[str]) -> str:
    """The value of DHCPv6's NTP option: an address suboption for each server (RFC 5908 section 4.1)."""
    return _bytes(b"".join(b"\0\1\0\x10" + IPv6Address(server).packed for server in servers if ":" in server))


def _encoded(kind: str, text: str) -> bytes:
    """The bytes of a value that is in the form ``network.options`` says."""
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


def _labels(domain: str) -> bytes:
    """RFC 1035 section 3.1, not compressed."""
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in domain.split(".")) + b"\0"


def _route(text: str) -> bytes:
    """RFC 3442: the width of the destination, its significant octets, the router."""
    destination, router = text.split()
    network = IPv4Network(destination)
    significant = network.network_address.packed[: (network.prefixlen + 7) // 8]
    return bytes([network.prefixlen]) + significant + IPv4Address(router).packed


def _bytes(data: bytes) -> str:
    """One byte is written as a number: without a colon, dnsmasq would take it for a word."""
    return f",{data[0]}" if len(data) == 1 else f",{data.hex(':')}"
