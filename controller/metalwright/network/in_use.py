# SPDX-License-Identifier: GPL-3.0-or-later
"""Every address that somebody has, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from metalwright.network import holders
from metalwright.network.notation import Address, Network
from metalwright.store.models import Interface, Lease, Machine, Reservation, Subnet

Source = Literal["machine", "reservation", "dhcp"]


@dataclass(frozen=True)
class InUse:
    """An address and who has it. ``since`` is None where it is not known; ``lease`` is what DHCP gave there, if it did."""

    address: Address
    source: Source
    subnet: str | None = None
    mac: str | None = None
    machine: str | None = None
    name: str | None = None
    since: datetime | None = None
    lease: Lease | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in order."""
        return place(self.address)


def place(address: Address) -> tuple[int, int]:
    """IPv4 before IPv6, each by number."""
    return address.version, int(address)


def read(session: Session, now: datetime) -> list[InUse]:
    """The addresses of machines and reservations, and those that are on lease at that moment, in order.

    What belongs to a machine is the machine's, whether it is reserved for its card too and whether DHCP has given it.
    """
    networks = [(ip_network(cidr), name) for name, cidr in session.execute(select(Subnet.name, Subnet.cidr))]
    owners: dict[str | None, str] = {row[0]: row[1] for row in session.execute(select(Interface.mac, Machine.name).join(Machine))}
    found: dict[str, InUse] = {}
    for lease in holders.leases(session, now):
        address, machine = ip_address(lease.address), owners.get(lease.mac)
        found[lease.address] = InUse(address, "dhcp", _subnet(networks, address), lease.mac, machine, None, lease.since, lease)
    for each in session.execute(
        select(
            Reservation.address,
            Reservation.mac,
            Reservation.name,
            Reservation.created_at.label("since"),
            Subnet.name.label("subnet"),
        ).join(Subnet)
    ):
        seen = found.get(each.address)
        found[each.address] = InUse(
            ip_address(each.address),
            "reservation",
            each.subnet,
            each.mac,
            owners.get(each.mac),
            each.name,
            each.since,
            seen.lease if seen else None,
        )
    columns = (
        func.coalesce(Interface.address, ""),
        Interface.mac,
        Machine.name,
        func.coalesce(Machine.hostname, Machine.name).label("own"),
    )
    for text, mac, machine, own in session.execute(select(*columns).join(Machine).where(Interface.address.is_not(None))):
        address = ip_address(text)
        seen = found.get(text, InUse(address, "machine", _subnet(networks, address)))
        since = seen.since if seen.source == "reservation" else None
        found[text] = replace(seen, source="machine", mac=mac, machine=machine, name=own, since=since)
    return sorted(found.values(), key=lambda each: each.place)


def _subnet(networks: list[tuple[Network, str]], address: Address) -> str | None:
    return next((name for network, name in networks if address in network), None)
