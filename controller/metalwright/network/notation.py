# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, networks and names in the one form in which they are stored and compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import inet_ntoa
from typing import Any

from metalwright.errors import Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A label of a host name (RFC 1123 section 2.1), in lower case: names are compared without regard to case (RFC 4343)."""
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
"""A name of a VLAN or subnet."""
_NO_HOSTS = [
    (ip_network("0.0.0.0/8"), "this host on this network (RFC 791)"),
    (ip_network("127.0.0.0/8"), "the loopback (RFC 1122)"),
    (ip_network("169.254.0.0/16"), "link-local (RFC 3927)"),
    (ip_network("224.0.0.0/4"), "multicast (RFC 5771)"),
    (ip_network("240.0.0.0/4"), "kept for later (RFC 1112)"),
    (ip_network("::/8"), "special (RFC 4291)"),
    (ip_network("fe80::/10"), "link-local (RFC 4291)"),
    (ip_network("ff00::/8"), "multicast (RFC 4291)"),
]


def cidr(value: Any) -> Network:
    """A network that machines may be on: IPv4 of /8 to /30, IPv6 of /64 to /126. Raises ``Invalid`` (``cidr_invalid``)."""
    try:
        network = ip_network(value, strict=False) if isinstance(value, str) and "/" in value else None
    except ValueError:
        network = None
    if network is None or not (8 <= network.prefixlen <= 30 if network.version == 4 else 64 <= network.prefixlen <= 126):
        message = f"{value!r} is no IPv4 subnet of 2 to 16,777,214 addresses, and no IPv6 subnet of /64 to /126."
        raise Invalid("cidr_invalid", message, "Write it as 10.0.0.0/24 or 2001:db8:0:1::/64.", cidr=value)
    if ip_address(value.partition("/")[0]) != network.network_address:
        raise Invalid("cidr_invalid", f"{value} is the address of a host in {network}.", f"Write {network}.", cidr=value)
    for other, what in _NO_HOSTS:
        if other.version == network.version and network.overlaps(other):
            message = f"{network} lies in {other}, which is {what}: no machine is reached there."
            raise Invalid("cidr_invalid", message, "Choose a network of yours.", cidr=value)
    return network


def networks(field: str, values: Any) -> list[str]:
    """Networks that clients ask from; a single address is a network of one. Raises ``Invalid`` (``cidr_invalid``)."""
    found = []
    for value in values or ():
        try:
            found.append(str(ip_network(value)))
        except ValueError:
            message = f"{field}: {value!r} is no network, or the address of a host in one."
            raise Invalid("cidr_invalid", message, "Write it as 10.0.0.0/24 or 2001:db8::/32.", field=field) from None
    return found


def address(field: str, value: Any, family: int | None = None) -> Address:
    """An address, of ``family`` (4 or 6) if one is given. Raises ``Invalid`` (``address_invalid``)."""
    try:
        found = ip_address(value) if isinstance(value, str) and "%" not in value else None
    except ValueError:
        found = None
    if found is None or family not in (None, found.version):
        what = f"IPv{family} address" if family else "address"
        raise Invalid("address_invalid", f"{field}: {value!r} is no {what}.", "", field=field, address=value)
    return found


def addresses(field: str, values: Any, family: int | None = None) -> list[str]:
    """Addresses in their canonical form, each once, in the order given. Raises ``Invalid`` (``address_invalid``)."""
    return list(dict.fromkeys(str(address(field, value, family)) for value in values or ()))


def hosts(network: Network) -> tuple[Address, Address]:
    """The first and the last address that a host may have: without the network's own (in IPv6 that of any router, RFC 4291
    section 2.6.1) and the broadcast address of IPv4."""
    first = network.network_address + 1
    return first, network.broadcast_address - 1 if network.version == 4 else network.broadcast_address


def written(first: Address, last: Address) -> Iterator[str]:
    """The addresses from one to another in their canonical form, which ``ipaddress`` takes ten times as long to write in IPv4."""
    numbers = range(int(first), int(last) + 1)
    if first.version == 4:
        return (inet_ntoa(number.to_bytes(4, "big")) for number in numbers)
    return (str(IPv6Address(number)) for number in numbers)


def is_host(value: Address, network: Network) -> bool:
    """Whether a host of the network may have that address."""
    first, last = hosts(network)
    return value.version == network.version and int(first) <= int(value) <= int(last)


def domain(value: Any) -> str | None:
    """A domain name in lower case without a trailing dot (RFC 1123 section 2.1); None for nothing.

    Raises ``Invalid`` (``domain_invalid``).
    """
    if value is None or value == "":
        return None
    name = str(value).lower().removesuffix(".")
    if len(name) > 253 or not all(LABEL.fullmatch(label) for label in name.split(".")) or name.split(".")[-1].isdigit():
        hint = "Labels of letters, digits and hyphens (RFC 1123), as in lab.example.com."
        raise Invalid("domain_invalid", f"{value!r} is no domain name.", hint, domain=value)
    return name


def label(field: str, value: Any) -> str:
    """A host's name: one label of RFC 1123 section 2.1, in lower case. Raises ``Invalid`` (``name_invalid``)."""
    name = str(value).lower()
    if not LABEL.fullmatch(name) or name.isdigit():
        message = f"{field}: {value!r} is no host name."
        hint = "1 to 63 letters, digits and hyphens, beginning and ending with a letter or digit, not digits only (RFC 1123)."
        raise Invalid("name_invalid", message, hint, name=value)
    return name
