# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains: which may be held here, which are asked elsewhere, and which nobody may own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.network import notation, reverse
from metalwright.store.events import record
from metalwright.store.models import Domain, Record, Reservation, Subnet

FIELDS = ("forward_to", "ttl", "description")
PRIVATE = ("corp", "home", "internal", "intranet", "lan", "private", "test")
"""Top-level domains that no registry gives away and that sites use for themselves: RFC 6761 section 6.2, RFC 6762 appendix G, and
ICANN's resolution of 2024-07-29 (internal)."""
_NOBODYS = {
    "localhost": "always the host itself (RFC 6761 section 6.3)",
    "invalid": "never a name (RFC 6761 section 6.4)",
    "onion": "Tor's (RFC 7686)",
    "alt": "never in the DNS (RFC 9476)",
}
_LOCAL = "answered by multicast DNS and not by servers (RFC 6762)"


def validate(session: Session, name: Any, given: Mapping[str, Any], existing: Domain | None = None) -> dict[str, Any]:
    """The columns that a domain comes to; nothing is written. ``given`` holds fields of a new domain, or those that change.

    Raises ``Invalid``: ``domain_invalid``, ``domain_not_ownable``, ``reverse_domain``, ``address_invalid``; ``Conflict``:
    ``domain_exists``, ``domain_in_use``, ``records_hidden``.
    """
    domain = existing.name if existing is not None else check_name(name, forwarded=bool(given.get("forward_to")))
    fields: dict[str, Any] = {field: getattr(existing, field) for field in FIELDS} if existing is not None else {}
    fields |= {field: given[field] for field in FIELDS if field in given}
    fields["forward_to"] = notation.addresses("forward_to", fields.get("forward_to"))
    if existing is None:
        if find(session, domain) is not None:
            raise Conflict("domain_exists", f"There is a domain {domain} already.", "Change that one.", domain=domain)
        _check_hidden(session, domain)
    elif not fields["forward_to"]:
        check_name(domain, forwarded=False)
    if fields["forward_to"]:
        _check_forwarding(session, domain, existing)
    return {"name": domain, **fields}


def check_name(value: Any, *, forwarded: bool) -> str:
    """The name of a domain that one may hold here, or ask for elsewhere. Raises ``Invalid``; see ``validate``."""
    domain = notation.domain("" if value in (None, ".") else value)
    if domain is None:
        message = "The root of the DNS belongs to nobody."
        hint = "To ask for all other names elsewhere, set the forwarders: metalwright dns set --forwarder ADDRESS"
        raise Invalid("domain_not_ownable", message, hint, domain=value)
    top = domain.rpartition(".")[2]
    if top in _NOBODYS or (top == "local" and not forwarded):
        message = f"{domain} cannot be held here: {top} is {_NOBODYS.get(top, _LOCAL)}."
        raise Invalid("domain_not_ownable", message, "For names of your own there is internal.", domain=domain)
    if top == "arpa" and domain != "home.arpa" and not domain.endswith(".home.arpa"):
        _check_arpa(domain, forwarded=forwarded)
    elif domain == top and domain not in PRIVATE and not forwarded:
        message = f"{domain} is a top-level domain, which nobody holds for himself."
        raise Invalid("domain_not_ownable", message, f"Use a domain below one you own, or {', '.join(PRIVATE)}.", domain=domain)
    return domain


def _check_arpa(domain: str, *, forwarded: bool) -> None:
    network = reverse.network(domain)
    if network is None:
        message = f"{domain} cannot be held here: arpa belongs to the DNS itself (RFC 3172)."
        raise Invalid("domain_not_ownable", message, "For names of your own there are home.arpa and internal.", domain=domain)
    if not forwarded:
        message = f"{domain} is the reverse zone of {network}; those of the subnets are made by themselves."
        raise Invalid("reverse_domain", message, f"Add the subnet, or say whom to ask: forward_to for {domain}.", domain=domain)


def _check_forwarding(session: Session, domain: str, existing: Domain | None) -> None:
    """Nothing of ours is in a domain that is asked elsewhere."""
    zone = reverse.network(domain)
    for subnet in session.scalars(select(Subnet).order_by(Subnet.name)):
        if zone is not None:
            check_reverse(subnet.name, ip_network(subnet.cidr), domain)
        if subnet.domain == domain:
            raise _in_use(domain, f"subnet {subnet.name} has its machines' names there")
    if existing is None:
        return
    if existing.default:
        raise _in_use(domain, "it is the default domain, [dns] domain of the settings")
    if using := users(session, existing):
        raise _in_use(domain, using)


def _in_use(domain: str, why: str) -> Conflict:
    message = f"{domain} cannot be asked elsewhere: {why}."
    return Conflict("domain_in_use", message, "Names are held here or elsewhere, not both.", domain=domain)


def check_reverse(subnet: str, network: notation.Network, domain: str) -> None:
    """Raise ``Conflict`` (``reverse_domain_taken``) if a subnet makes the reverse zone ``domain``, or one that it lies in."""
    zone = reverse.network(domain)
    if zone is not None and reverse.ours(network, zone):
        message = f"{domain}, which is asked elsewhere, is a reverse zone of subnet {subnet} ({network})."
        raise Conflict(
            "reverse_domain_taken", message, "Names are held here or elsewhere, not both.", domain=domain, subnet=subnet
        )


def check_reverse_of(session: Session, subnet: str, network: notation.Network) -> None:
    """``check_reverse`` with every domain that is asked elsewhere."""
    for domain in session.scalars(select(Domain).where(Domain.name.endswith(".arpa")).order_by(Domain.name)):
        if domain.forward_to:
            check_reverse(subnet, network, domain.name)


def _check_hidden(session: Session, domain: str) -> None:
    """A new domain below one of ours answers alone for its names: records of the other there would be seen no more."""
    for above in session.scalars(select(Domain).order_by(Domain.name)):
        if not domain.endswith(f".{above.name}"):
            continue
        inner = domain.removesuffix(f".{above.name}")
        inside = (Record.name == inner) | Record.name.endswith(f".{inner}", autoescape=True)
        hidden = session.scalars(select(Record).where(Record.domain_id == above.id, inside).order_by(Record.name)).first()
        if hidden is not None:
            message = f"{hidden.name} {hidden.type} {hidden.data} of domain {above.name} would be hidden by a domain {domain}."
            raise Conflict("records_hidden", message, "Delete it there first.", domain=above.name, record=hidden.id)


def users(session: Session, domain: Domain) -> str:
    """What needs a domain to be held here, in words; empty for nothing."""
    found = [f"subnet {name}" for name in session.scalars(select(Subnet.name).where(Subnet.domain == domain.name))]
    held = select(Reservation.address).where(Reservation.domain == domain.name).order_by(Reservation.address)
    found += [f"the reservation of {address}" for address in session.scalars(held)]
    records = session.scalar(select(func.count()).select_from(Record).where(Record.domain_id == domain.id)) or 0
    found += [f"{records} record{'s' if records > 1 else ''}"] if records else []
    return ", ".join([*found[:5], *([f"{len(found) - 5} more"] if len(found) > 5 else [])])


def find(session: Session, name: str) -> Domain | None:
    """The domain of that name or identifier."""
    return session.scalar(select(Domain).where((Domain.name == name.lower().removesuffix(".")) | (Domain.id == name)))


def get(session: Session, name: str) -> Domain:
    """The domain of that name or identifier. Raises ``NotFound`` (``domain_not_found``)."""
    domain = find(session, name)
    if domain is None:
        raise NotFound("domain_not_found", f"There is no domain {name}.", f"Add it: metalwright domain add {name}", domain=name)
    return domain


def have(session: Session, name: Any, now: datetime) -> str | None:
    """The domain in which a subnet or a reservation wants names: one that is not there is made. None for none.

    Raises ``Invalid`` as ``check_name`` does; ``Conflict`` (``domain_forwarded``) for one that is asked elsewhere.
    """
    domain = notation.domain(name)
    if domain is not None and _make(session, domain, now):
        message = f"domain {domain} was made: something has its name there"
        record(session, "domain.created", message, data={"domain": domain}, at=now)
    return domain


def keep_default(session: Session, name: str, now: datetime) -> None:
    """Have the domain that the settings name as the default one, and no other. Raises as ``have`` does."""
    domain = notation.domain(name)
    _make(session, domain or "", now)
    for row in session.scalars(select(Domain)):
        row.default = row.name == domain


def _make(session: Session, domain: str, now: datetime) -> bool:
    """Make a domain that is held here unless it is there; True if it was not."""
    there = find(session, domain)
    if there is None:
        check_name(domain, forwarded=False)
        _check_hidden(session, domain)
        session.add(Domain(name=domain, created_at=now))
        session.flush()
        return True
    if there.forward_to:
        message = f"{domain} is asked at {', '.join(there.forward_to)}, so machines get no names there."
        raise Conflict("domain_forwarded", message, "Name a domain that is held here.", domain=domain)
    return False
