# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse zones: the domains under ``in-addr.arpa`` and ``ip6.arpa`` in which addresses have names."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network

from metalwright.network.notation import Network

_TREES = {".in-addr.arpa": 4, ".ip6.arpa": 6}


def network(domain: str) -> Network | None:
    """The addresses whose names a domain holds (RFC 1035 section 3.5, RFC 3596 section 2.5); None if it is no reverse zone."""
    tree = next((suffix for suffix in _TREES if domain.endswith(suffix)), None)
    if tree is None:
        return None
    labels = domain.removesuffix(tree).split(".")[::-1]
    try:
        if _TREES[tree] == 4:
            return IPv4Network((".".join([*labels, *["0"] * (4 - len(labels))]), 8 * len(labels)))
        if any(len(label) != 1 for label in labels):
            return None
        return IPv6Network((IPv6Address(int("".join(labels).ljust(32, "0"), 16)), 4 * len(labels)))
    except ValueError:
        return None


def ours(subnet: Network, zone: Network) -> bool:
    """Whether a zone is one that a subnet makes, or lies in one: zones begin at whole bytes, in IPv6 at half ones, and a subnet
    that is smaller than the last of them makes the zone around it."""
    step, last = (8, 24) if subnet.version == 4 else (4, 124)
    cut = min(-(-subnet.prefixlen // step) * step, last)
    return zone.version == subnet.version and zone.overlaps(subnet) and zone.prefixlen >= cut
