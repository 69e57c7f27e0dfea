# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS records that go together: no alias beside anything else, none in a circle, nothing that leads to an alias and must not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid
from metalwright.network import aliases, domains, naming, record_data
from metalwright.store.models import Domain, Record

FIELDS = ("name", "type", "data", "ttl")


def validate(
    session: Session, domain: Domain, given: Mapping[str, Any], default: str, existing: Record | None = None
) -> dict[str, Any]:
    """The columns that a record comes to; nothing is written. ``given`` holds fields of a new record, or those that change.

    ``default`` is the name of the default domain. Raises ``Invalid``: ``record_type_unknown``, ``name_invalid``,
    ``name_outside_domain``, ``alias_of_domain``, ``record_data_invalid``; ``Conflict``: ``domain_forwarded``,
    ``name_in_other_domain``, ``record_exists``, ``alias_not_alone``, ``alias_loop``, ``target_is_alias``, ``name_taken``. Each
    names both that clash.
    """
    if domain.forward_to:
        message = f"{domain.name} is asked at {', '.join(domain.forward_to)}, so it has no records here."
        raise Conflict("domain_forwarded", message, "Add the record there.", domain=domain.name)
    former: dict[str, Any] = {field: getattr(existing, field) for field in FIELDS} if existing is not None else {}
    fields = canonical(domain.name, {**former, **{field: given[field] for field in FIELDS if field in given}})
    kind = fields["type"]
    _check_held_here(session, domain, fields["name"])
    beside = [each for each in naming.records(session, fields["name"], domain.name) if each is not existing]
    for other in beside:
        if (other.type, other.data) == (kind, fields["data"]):
            message = f"There is a record {_told(fields, domain)} already."
            raise Conflict("record_exists", message, "Change that one.", record=other.id)
    _check_alone(session, domain, fields, default, beside)
    _check_targets(session, domain, fields, existing)
    return fields


def canonical(domain: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a record in the form in which they are stored. Raises ``Invalid``; see ``validate``."""
    kind = type_(given.get("type"))
    name, data = record_data.name(kind, given.get("name", "@"), domain), record_data.data(kind, given.get("data", ""), domain)
    return {"name": name, "type": kind, "data": data, "ttl": given.get("ttl")}


def _told(fields: Mapping[str, Any], domain: Domain) -> str:
    return f"{absolute(fields['name'], domain.name)} {fields['type']} {fields['data']}"


def absolute(name: str, domain: str) -> str:
    """The whole name of a record."""
    return domain if name == "@" else f"{name}.{domain}"


def type_(value: Any) -> str:
    """The type of a record. Raises ``Invalid`` (``record_type_unknown``)."""
    kind = str(value).upper()
    if kind == "PTR":
        message = "PTR records are not written by hand: they follow from what has the address."
        raise Invalid("record_type_unknown", message, "Add an A or AAAA record, or a reservation with a name.", type=value)
    if kind not in record_data.TYPES:
        message = f"{value!r} is no type of records that are held here."
        raise Invalid("record_type_unknown", message, f"There are {', '.join(record_data.TYPES)}.", type=value)
    return kind


def _check_held_here(session: Session, domain: Domain, name: str) -> None:
    """A name belongs to the innermost domain that it lies in."""
    whole = absolute(name, domain.name)
    for other in session.scalars(select(Domain.name).where(Domain.name.endswith(f".{domain.name}", autoescape=True))):
        if whole == other or whole.endswith(f".{other}"):
            message = f"{whole} lies in the domain {other}, so a record of {domain.name} would never be seen."
            raise Conflict("name_in_other_domain", message, f"Add it to {other}.", name=whole, domain=other)


def _check_alone(session: Session, domain: Domain, fields: Mapping[str, Any], default: str, beside: list[Record]) -> None:
    """RFC 1034 section 3.6.2: where an alias is, nothing else is. And a host's own name has no other addresses."""
    kind, name = fields["type"], fields["name"]
    alias = next((each for each in beside if "CNAME" in (kind, each.type)), None)
    if alias is not None:
        there = f"{absolute(name, domain.name)} {alias.type} {alias.data}"
        message = f"{_told(fields, domain)} cannot stand beside {there}: where a CNAME is, nothing else is."
        raise Conflict("alias_not_alone", message, "Delete one of them, or give the alias another name.", record=alias.id)
    if kind not in naming.TAKING:
        return
    holder = naming.machine(session, name, domain.name)
    reservation = naming.reservation(session, name, domain.name, default)
    who = f"machine {holder.name}" if holder else f"the reservation of {reservation.address}" if reservation else None
    if who is not None:
        message = f"The name {absolute(name, domain.name)} is that of {who}."
        raise Conflict(
            "name_taken", message, "Choose another name; an alias may lead to that one.", name=name, domain=domain.name
        )


def _check_targets(session: Session, domain: Domain, fields: Mapping[str, Any], existing: Record | None) -> None:
    """No circle of aliases over all our domains, and no MX or SRV that leads to an alias (RFC 2181 section 10.3, RFC 2782)."""
    whole, target = absolute(fields["name"], domain.name), record_data.target(fields["type"], fields["data"])
    if target is None:
        return
    if fields["type"] != "CNAME":
        if (alias := _alias_of(session, target, existing)) is not None:
            message = f"{_told(fields, domain)} leads to {target}, which is an alias of {alias.data}."
            hint = f"Name {alias.data} itself (RFC 2181 section 10.3)."
            raise Conflict("target_is_alias", message, hint, record=alias.id)
        return
    leading = select(Record).where(Record.type.in_(("MX", "SRV")), Record.data.endswith(f" {whole}", autoescape=True))
    for other in session.scalars(leading):
        if other is not existing:
            there = f"{absolute(other.name, other.domain.name)} {other.type} {other.data}"
            message = f"{whole} cannot be an alias: {there} leads to it, and may not lead to one."
            hint = "Let it lead to the host itself (RFC 2181 section 10.3)."
            raise Conflict("target_is_alias", message, hint, record=other.id)

    def target_of(name: str) -> str | None:
        alias = _alias_of(session, name, existing)
        return target if name == whole else alias.data if alias else None

    if circle := aliases.loop(target_of, whole):
        message = f"{_told(fields, domain)} would make a circle: {' -> '.join(circle)}."
        raise Conflict("alias_loop", message, "Let one of them lead to a host.", names=circle)


def _alias_of(session: Session, whole: str, existing: Record | None) -> Record | None:
    """The CNAME record that a whole name has here."""
    labels = whole.split(".")
    for place in range(len(labels)):
        domain = domains.find(session, ".".join(labels[place:]))
        if domain is not None:
            found = naming.records(session, ".".join(labels[:place]) or "@", domain.name, "CNAME")
            return next((each for each in found if each is not existing), None)
    return None
