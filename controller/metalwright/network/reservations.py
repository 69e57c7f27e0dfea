# SPDX-License-Identifier: GPL-3.0-or-later
"""Reservations: an address that one network card gets and nobody else, whether the card is a machine's or not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid
from metalwright.network import domains, holders, naming, notation, subnets
from metalwright.network.notation import Address
from metalwright.store.models import Reservation, Subnet

FIELDS = ("mac", "address", "name", "domain", "comment")


def validate(
    session: Session,
    given: Mapping[str, Any],
    now: datetime,
    *,
    default: str,
    ours: str | None = None,
    existing: Reservation | None = None,
) -> dict[str, Any]:
    """The columns that a reservation comes to; but for a domain that it needs, nothing is written.

    ``given`` holds fields of a new one, or those that change; ``default`` is the name of the default domain, ``ours`` the
    controller's own address. The address says which subnet it is on, whose row is locked.

    Raises ``Invalid``: ``address_invalid``, ``address_outside_subnets``, ``name_invalid`` and those of ``domains.have``;
    ``Conflict``: ``address_taken``, ``address_reserved``, ``address_on_lease``, ``mac_reserved``, ``mac_has_address``,
    ``name_taken``. Each names both that clash.
    """
    fields: dict[str, Any] = {field: getattr(existing, field) for field in FIELDS} if existing is not None else {}
    fields |= {field: given[field] for field in FIELDS if field in given}
    address = notation.address("address", fields.get("address"))
    subnet = subnets.holding(session, address, lock=True)
    if existing is not None and notation.address("address", existing.address).version != address.version:
        message = f"{existing.address} is reserved for {existing.mac}, and {address} is of the other family."
        raise Invalid("address_invalid", message, "Reserve it beside the other.", address=str(address))
    fields["address"] = str(address)
    _check_address(subnet, address, ours)
    _check_reserved(session, subnet, fields, existing)
    _check_machines(session, subnet, fields)
    for lease in holders.leases(session, now, fields["address"]):
        if lease.mac != fields["mac"]:
            raise holders.on_lease(session, lease, f"so it cannot be kept for {fields['mac']}")
    fields["domain"] = domains.have(session, fields.get("domain"), now)
    fields["name"] = notation.label("name", fields["name"]) if fields.get("name") else None
    if fields["name"] is not None:
        domain = fields["domain"] or subnet.domain or default
        naming.check_host(session, fields["name"], domain, default, fields["mac"], existing)
    return {**fields, "subnet_id": subnet.id}


def _check_address(subnet: Subnet, address: Address, ours: str | None) -> None:
    if not notation.is_host(address, ip_network(subnet.cidr)):
        first, last = notation.hosts(ip_network(subnet.cidr))
        message = f"{address} is no address for a host in subnet {subnet.name} ({subnet.cidr})."
        raise Invalid("address_invalid", message, f"Hosts have {first} to {last}.", address=str(address), subnet=subnet.name)
    roles: dict[str | None, str] = {
        **dict.fromkeys(subnet.dns_servers, "a name server"),
        ours: "the controller",
        subnet.gateway: "the gateway",
    }
    if role := roles.get(str(address)):
        message = f"{address} is {role} of subnet {subnet.name}."
        raise Conflict("address_taken", message, "Reserve another.", address=str(address), subnet=subnet.name)


def _check_reserved(session: Session, subnet: Subnet, fields: Mapping[str, Any], existing: Reservation | None) -> None:
    mine = (Reservation.subnet_id == subnet.id) & (Reservation.mac == fields["mac"])
    for other in session.scalars(select(Reservation).where((Reservation.address == fields["address"]) | mine)):
        if other is existing:
            continue
        if other.address == fields["address"]:
            message = f"{other.address} is reserved for {other.mac} already, so it cannot be for {fields['mac']}."
            raise Conflict("address_reserved", message, "Reserve another.", address=other.address, mac=other.mac)
        message = (
            f"{other.mac} has {other.address} reserved on subnet {subnet.name} already, so it cannot have {fields['address']}."
        )
        hint = f"Change that one: metalwright reservation edit {other.address} --address {fields['address']}"
        raise Conflict("mac_reserved", message, hint, mac=other.mac, address=other.address)


def _check_machines(session: Session, subnet: Subnet, fields: Mapping[str, Any]) -> None:
    """A machine may have its own card's address reserved, and no other card one that a machine has."""
    for holder in holders.machines(session, subnet):
        mine, same = holder.mac == fields["mac"], str(holder.address) == fields["address"]
        if same and not mine:
            whose = f"{holder.name} ({holder.mac})" if holder.mac else holder.name
            message = f"{holder.address} belongs to machine {whose}, so it cannot be kept for {fields['mac']}."
            raise Conflict("address_taken", message, "Reserve another.", address=fields["address"], machine=holder.name)
        if mine and not same:
            message = f"{holder.mac} of machine {holder.name} has {holder.address}, so {fields['address']} cannot be kept for it."
            hint = "Release the machine first, or reserve the address that it has."
            raise Conflict("mac_has_address", message, hint, mac=holder.mac, machine=holder.name, address=str(holder.address))
