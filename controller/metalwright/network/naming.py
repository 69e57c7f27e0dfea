# SPDX-License-Identifier: GPL-3.0-or-later
"""Who bears a name. Machines, reservations and address records share the names of a domain, and none has another's."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BindParameter, bindparam, or_, select, union_all
from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.network.changing import unchanged
from metalwright.store.models import Domain, Interface, Machine, Record, Reservation, Subnet

TAKING = ("A", "AAAA", "CNAME")
"""Types of records that say where a name leads, as a machine's own name does."""


_NAME: BindParameter[str] = bindparam("name")
_BORNE = union_all(
    *(select(table.c.id).where(table.c.name == _NAME) for table in (Record.__table__, Reservation.__table__)),
)
"""Whether any record or reservation has a name, in whatever domain: nearly always there is none, and that is all it takes."""


def machine_domains(session: Session) -> set[str]:
    """Domains in which machines may have their names: the default one, and those of subnets."""
    found = set(session.scalars(select(Domain.name).where(Domain.default)))
    return found | {name for name in session.scalars(select(Subnet.domain).distinct()) if name}


def check_machine_name(session: Session, name: str, macs: Collection[str]) -> None:
    """Raise ``Conflict`` (``name_taken``) if a record or a reservation bears the name where machines have theirs.

    A reservation for one of the machine's own cards (``macs``) is no other's. The network stays as it is from
    then on, until the transaction ends.
    """
    unchanged(session)
    if session.execute(_BORNE, {"name": name}).first() is None:
        return
    domains = machine_domains(session)
    rows = session.scalars(select(Record).where(Record.name == name, Record.type.in_(TAKING))).all()
    kept = session.scalars(select(Reservation).where(Reservation.name == name, Reservation.mac.not_in(macs))).all()
    for record in sorted(rows, key=lambda each: (each.domain.name, each.type)):
        if record.domain.name in domains:
            message = f"The name {name} is taken by the record {name}.{record.domain.name} {record.type} {record.data}."
            raise Conflict("name_taken", message, "Choose another name, or delete the record.", name=name, record=record.id)
    for reservation in kept:
        domain = reservation.domain or reservation.subnet.domain
        if domain is None or domain in domains:
            message = f"The name {name} is taken by the reservation of {reservation.address} for {reservation.mac}."
            raise Conflict("name_taken", message, "Choose another name, or rename the reservation.", name=name)


def machine(session: Session, name: str, domain: str, mac: str | None = None) -> Machine | None:
    """The machine that has a name in a domain, or is deployed under it; not the one that has the card ``mac``."""
    return of_machine(session, name, mac) if domain in machine_domains(session) else None


def of_machine(session: Session, name: str, mac: str | None = None) -> Machine | None:
    """The machine that has a name, or is deployed under it; not the one that has the card ``mac``."""
    statement = select(Machine).where(or_(Machine.name == name, Machine.hostname == name, Machine.held_hostname == name))
    if mac is not None:
        statement = statement.where(Machine.id.not_in(select(Interface.machine_id).where(Interface.mac == mac)))
    return session.scalars(statement).first()


def reservation(
    session: Session, name: str, domain: str, default: str, mac: str = "", but: Reservation | None = None
) -> Reservation | None:
    """The reservation that has a name in a domain; not one for the card ``mac``: a host has an IPv4 and an IPv6 address."""
    statement = select(Reservation).where(Reservation.name == name, Reservation.mac != mac).order_by(Reservation.address)
    if but is not None:
        statement = statement.where(Reservation.id != but.id)
    found = session.scalars(statement)
    return next((each for each in found if (each.domain or each.subnet.domain or default) == domain), None)


def records(session: Session, name: str, domain: str, *types: str) -> list[Record]:
    """The records of a name: of those types, or all."""
    statement = select(Record).join(Domain).where(Record.name == name, Domain.name == domain)
    return list(session.scalars(statement.where(Record.type.in_(types)) if types else statement))


def check_host(session: Session, name: str, domain: str, default: str, mac: str, but: Reservation | None = None) -> None:
    """Raise ``Conflict`` (``name_taken``) if a reservation for ``mac`` cannot have that name: somebody bears it."""
    taken: str | None = None
    if there := records(session, name, domain, *TAKING):
        taken = f"the record {name}.{domain} {there[0].type} {there[0].data}"
    elif holder := machine(session, name, domain, mac):
        taken = f"machine {holder.name}"
    elif other := reservation(session, name, domain, default, mac, but):
        taken = f"the reservation of {other.address} for {other.mac}"
    if taken is not None:
        message = f"The name {name}.{domain} is taken by {taken}."
        raise Conflict("name_taken", message, "Choose another name.", name=name, domain=domain)
