# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has an address: machines, reservations, and clients of DHCP. Whatever has one keeps it while subnets and ranges change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Literal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.network import ranges
from metalwright.network.notation import Address, Network
from metalwright.network.ranges import Bounds
from metalwright.store.models import Interface, Lease, Machine, Reservation, Subnet


@dataclass(frozen=True)
class Holder:
    """Somebody who has an address for good: ``name`` is the machine's, or the card's that it is reserved for."""

    kind: Literal["machine", "reservation"]
    address: Address
    mac: str
    name: str

    def __str__(self) -> str:
        return self.name if self.kind == "machine" else f"the reservation for {self.mac}"


def machines(session: Session, subnet: Subnet) -> list[Holder]:
    """The addresses that machines have on a subnet."""
    statement = (
        select(Interface.address, Interface.mac, Machine.name)
        .join(Machine, Interface.machine_id == Machine.id)
        .where(Interface.subnet_id == subnet.id, Interface.address.is_not(None))
        .order_by(Interface.address)
    )
    return [Holder("machine", ip_address(address or ""), mac, name) for address, mac, name in session.execute(statement)]


def reservations(session: Session, subnet: Subnet) -> list[Holder]:
    """The addresses of a subnet that are reserved for a card."""
    statement = select(Reservation).where(Reservation.subnet_id == subnet.id).order_by(Reservation.address)
    return [Holder("reservation", ip_address(each.address), each.mac, each.mac) for each in session.scalars(statement)]


def leases(session: Session, now: datetime, *addresses: str) -> Sequence[Lease]:
    """The leases that have not run out: of some addresses, or all."""
    statement = select(Lease).where(or_(Lease.until.is_(None), Lease.until > now)).order_by(Lease.address)
    return session.scalars(statement.where(Lease.address.in_(addresses)) if addresses else statement).all()


def check_room(
    session: Session, subnet: Subnet, network: Network, gateway: Address | None, after: Sequence[Bounds], now: datetime
) -> None:
    """A subnet that becomes ``network`` with the ranges ``after`` keeps room for what it has given.

    Raises ``Conflict``: ``address_in_use``, ``address_on_lease``. The first address that is in the way is named, and whose it is.
    """
    before = ranges.of(subnet)
    for holder in (*machines(session, subnet), *reservations(session, subnet)):
        clash = _clash(holder, network, gateway, before, after)
        if clash is not None:
            message = f"{holder.address} of {holder} {clash}."
            hint = (
                f"Release {holder.name}, or choose otherwise." if holder.kind == "machine" else "Delete it, or choose otherwise."
            )
            raise Conflict("address_in_use", message, hint, address=str(holder.address), **{holder.kind: holder.name})
    kept = {(str(each.address), each.mac) for each in (*machines(session, subnet), *reservations(session, subnet))}
    for lease, there in _loose(session, before, after, now):
        if (lease.address, lease.mac) not in kept:
            raise on_lease(session, lease, f"and would lie in no dynamic range any more; it is in {there}")


def _clash(
    holder: Holder, network: Network, gateway: Address | None, before: Sequence[Bounds], after: Sequence[Bounds]
) -> str | None:
    address = holder.address
    there = ranges.which(after, address)
    if address not in network:
        return f"lies outside {network}"
    if address == gateway:
        return "would be the gateway's"
    if holder.kind == "reservation":
        return None
    if there is not None and there.kind != "static":
        return f"lies in the {there.kind} range {there}"
    was = ranges.which(before, address)
    if was is not None and was.kind == "static" and there is None:
        return f"would lie in no static range any more; it is in {was}"
    return None


def _loose(session: Session, before: Sequence[Bounds], after: Sequence[Bounds], now: datetime) -> Iterator[tuple[Lease, Bounds]]:
    """Leases in a dynamic range that it will not be in any more."""
    if {each for each in before if each.kind == "dynamic"} <= {*after}:
        return
    for lease in leases(session, now):
        address = ip_address(lease.address)
        was, will = ranges.which(before, address), ranges.which(after, address)
        if was is not None and was.kind == "dynamic" and (will is None or will.kind != "dynamic"):
            yield lease, was


def on_lease(session: Session, lease: Lease, why: str) -> Conflict:
    """The error that an address is on lease."""
    machine = session.scalar(select(Machine.name).join(Interface).where(Interface.mac == lease.mac)) if lease.mac else None
    who = f"{machine} ({lease.mac})" if machine else lease.mac or "a client"
    until = f"until {lease.until.isoformat(timespec='seconds')}" if lease.until else "for good"
    message = f"{lease.address} is on lease to {who} {until}, {why}."
    hint = "Wait for its end, have the client release it, or leave the address where it is."
    return Conflict(
        "address_on_lease", message, hint, address=lease.address, mac=lease.mac, machine=machine, until=str(lease.until)
    )
