# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of addresses: never outside their subnet, never overlapping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from typing import Any, Literal, get_args

from metalwright.errors import Invalid
from metalwright.network import notation
from metalwright.network.notation import Address, Network
from metalwright.store.models import IpRange, Subnet

Kind = Literal["dynamic", "static", "reserved"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Bounds:
    """Addresses from ``start`` to ``end``, both inclusive."""

    kind: Kind
    start: Address
    end: Address

    def __contains__(self, address: Address) -> bool:
        return address.version == self.start.version and int(self.start) <= int(address) <= int(self.end)

    def overlaps(self, other: Bounds) -> bool:
        """Whether an address is in both."""
        return other.start in self or self.start in other

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


def of(subnet: Subnet, *kinds: Kind) -> list[Bounds]:
    """The ranges of a subnet by their first address: those of the kinds, or all."""
    return in_order(stored(row) for row in subnet.ranges if not kinds or row.kind in kinds)


def stored(row: IpRange) -> Bounds:
    """A range as it is in the database."""
    return Bounds(row.kind, ip_address(row.start), ip_address(row.end))  # type: ignore[arg-type]


def in_order(ranges: Iterable[Bounds]) -> list[Bounds]:
    """Ranges by their first address."""
    return sorted(ranges, key=lambda each: int(each.start))


def which(ranges: Iterable[Bounds], address: Address) -> Bounds | None:
    """The range that an address lies in."""
    return next((each for each in ranges if address in each), None)


def parse(kind: Kind, start: Any, end: Any, network: Network) -> Bounds:
    """A range of a network.

    Raises ``Invalid``: ``address_invalid``, ``range_backwards``, ``range_outside_subnet``.
    """
    first, last = (notation.address(f"{kind} range", bound, network.version) for bound in (start, end))
    if int(first) > int(last):
        message = f"The {kind} range ends at {last}, before it starts at {first}."
        raise Invalid("range_backwards", message, "Swap the two.", start=str(first), end=str(last))
    for bound in (first, last):
        if not notation.is_host(bound, network):
            least, most = notation.hosts(network)
            message = f"{bound} of the {kind} range is no address for a host in {network}."
            hint = f"Hosts have {least} to {most}."
            raise Invalid("range_outside_subnet", message, hint, address=str(bound), cidr=str(network))
    return Bounds(kind, first, last)


def check(ranges: Sequence[Bounds], gateway: Address | None, dns_servers: Sequence[Address]) -> None:
    """Ranges of one subnet that go together, and with the addresses of its own services.

    The gateway is in no range machines get addresses from, a name server in none that DHCP gives to anyone. Raises ``Invalid``:
    ``ranges_overlap``, ``gateway_in_range``, ``dns_server_in_range``.
    """
    for one, other in pairwise(in_order(ranges)):
        if one.overlaps(other):
            message = f"The {one.kind} range {one} overlaps the {other.kind} range {other}."
            hint = "An address is in one range: given to anyone, to one machine, or reserved."
            raise Invalid("ranges_overlap", message, hint, ranges=[_bounds(one), _bounds(other)])
    given = [each for each in ranges if each.kind != "reserved"]
    if gateway is not None and (there := which(given, gateway)):
        message = f"The gateway {gateway} lies in the {there.kind} range {there}."
        raise Invalid("gateway_in_range", message, "Machines would be given its address.", gateway=str(gateway), range=there.kind)
    for server in dns_servers:
        if there := which((each for each in ranges if each.kind == "dynamic"), server):
            message = f"The name server {server} lies in the dynamic range {there}."
            raise Invalid("dns_server_in_range", message, "Anyone would be given its address.", address=str(server))


def _bounds(each: Bounds) -> dict[str, str]:
    return {"kind": each.kind, "start": str(each.start), "end": str(each.end)}
