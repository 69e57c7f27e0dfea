# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP options as dnsmasq's files have them.

dnsmasq knows the types of some options and takes those as text only. Any other is written as the bytes that go on the wire, so
that it is sent as it was meant, whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from metalwright.network import options
from metalwright.network.engines import option_bytes
from metalwright.network.model import Option

_TEXT = {4: {17, 18, 40, 64, 100, 101, 114}, 6: {21, 29, 30, 32, 41, 42, 103}}
"""By family: text, names and times that dnsmasq 2.90 takes as text only (its ``opttab`` and ``opttab6``)."""


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
    return _bytes(option_bytes.encoded(kind, option.value))


def suboptions_of_ntp(servers: Iterable[str]) -> str:
    """The value of DHCPv6's NTP option: an address suboption for each server (RFC 5908 section 4.1)."""
    return _bytes(option_bytes.ntp_6(server for server in servers if ":" in server))


def _bytes(data: bytes) -> str:
    """One byte is written as a number: without a colon, dnsmasq would take it for a word."""
    return f",{data[0]}" if len(data) == 1 else f",{data.hex(':')}"
