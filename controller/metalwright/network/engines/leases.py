# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease as every engine knows it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Lease:
    """An address that DHCP has given: to a MAC by DHCPv4, to a DUID and an IAID by DHCPv6.

    ``expires`` is in seconds since 1970, 0 for a lease that does not end. ``duid`` is in lower case with colons. ``mac`` of a
    DHCPv6 lease is the one in its DUID, where there is one.
    """

    address: str
    expires: int
    mac: str | None = None
    duid: str | None = None
    iaid: int | None = None

    @property
    def family(self) -> Literal[4, 6]:
        """4 or 6."""
        return 6 if ":" in self.address else 4

    def ended(self, now: float) -> bool:
        """Whether its time has run out at ``now``, seconds since 1970."""
        return 0 < self.expires <= now


@dataclass(frozen=True)
class LeaseChanges:
    """What became of leases: ``given`` (new, or extended) and ``ended``, in the order of their addresses.

    ``complete``: ``given`` are all there are, and every other one has ended.
    """

    given: tuple[Lease, ...] = ()
    ended: tuple[Lease, ...] = ()
    complete: bool = False


def changes(before: Iterable[Lease], after: Iterable[Lease]) -> LeaseChanges:
    """What is between two sets of leases."""
    old, new = {lease.address: lease for lease in before}, {lease.address: lease for lease in after}
    given = tuple(new[address] for address in sorted(new) if old.get(address) != new[address])
    return LeaseChanges(given, tuple(old[address] for address in sorted(old.keys() - new.keys())))


_WITH_MAC = re.compile(r"00:0(?:1:00:01(?::[0-9a-f]{2}){4}|3:00:01)((?::[0-9a-f]{2}){6})")


def mac_of_duid(duid: str) -> str | None:
    """The Ethernet address in a DUID-LLT or DUID-LL (RFC 8415 sections 11.2 and 11.4); None for every other DUID."""
    found = _WITH_MAC.fullmatch(duid)
    return found[1][1:] if found else None
