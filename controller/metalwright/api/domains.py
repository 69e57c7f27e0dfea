# SPDX-License-Identifier: GPL-3.0-or-later
"""``/domains``: where names are held here, and which are asked elsewhere. Reverse zones of the subnets are made by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.network_changes import Comment, Ttl, carry_out, change
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict
from metalwright.network.domains import FIELDS, get, users, validate
from metalwright.store.models import Domain, Record

domains = Blueprint("domains", __name__)


class _Fields(Schema):
    forward_to: list[str] = Field(
        [], max_length=8, description="Addresses of the name servers that have it. Empty: it is held here."
    )
    ttl: Ttl | None = Field(
        None, description="Seconds an answer may be kept, where a record says nothing. Default: that of /dns."
    )
    description: Comment = ""


class DomainCreate(_Fields):
    """A new domain."""

    name: str = Field(max_length=254, description="For example lab.example.com.")


class DomainPatch(_Fields):
    """What is to change; what is not named stays."""


class DomainView(TypedDict):
    """A domain. ``default``: machines have their names there whose subnet names no domain. ``records`` counts."""

    id: str
    name: str
    forward_to: list[str]
    ttl: int | None
    description: str
    default: bool
    records: int
    created_at: str


class DomainChanged(DomainView):
    """A domain after a change; ``changed`` is false when it was like that already."""

    changed: bool


@endpoint(domains, "GET", "/domains", query=Page, answers={200: Listing[DomainView]})
def list_domains(*, query: Page) -> Reply:
    """List domains by name."""
    fields = query.chosen(DomainView.__annotations__)
    statement = select(Domain).order_by(Domain.name).limit(query.limit + 1)
    if (last := query.after(1)) is not None:
        statement = statement.where(Domain.name > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
        views = _show(session, found[: query.limit])
    return page(found, query.limit, [{name: view[name] for name in fields} for view in views], lambda domain: (domain.name,))


@endpoint(domains, "GET", "/domains/<name>", answers={200: DomainView}, errors=(404,))
def get_domain(name: str) -> Reply:
    """Show a domain."""
    with context().store.session() as session:
        return _show(session, [get(session, name)])[0]


@endpoint(domains, "POST", "/domains", body=DomainCreate, query=Change, answers={201: DomainView}, errors=(409,))
def create_domain(*, body: DomainCreate, query: Change) -> Reply:
    """Add a domain."""
    with change(query) as session:
        wished = validate(session, body.name, body.model_dump(exclude={"name"}))
        domain = Domain(**wished, created_at=context().clock())
        session.add(domain)
        session.flush()
        carry_out(session, "domain.created", f"domain {domain.name} was added by {caller()}", {"domain": domain.name})
        return _show(session, [domain])[0]


@endpoint(domains, "PATCH", "/domains/<name>", body=DomainPatch, query=Change, answers={200: DomainChanged}, errors=(404, 409))
def change_domain(name: str, *, body: DomainPatch, query: Change) -> Reply:
    """Change a domain; what is not named stays."""
    with change(query) as session:
        domain = get(session, name)
        wished = validate(session, domain.name, body.model_dump(include=body.model_fields_set), domain)
        changed = [field for field in FIELDS if getattr(domain, field) != wished[field]]
        for field in changed:
            setattr(domain, field, wished[field])
        if changed:
            message = f"domain {domain.name}: {', '.join(changed)} changed by {caller()}"
            carry_out(session, "domain.changed", message, {"domain": domain.name})
        session.flush()
        return {**_show(session, [domain])[0], "changed": bool(changed)}


@endpoint(domains, "DELETE", "/domains/<name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_domain(name: str, *, query: Change) -> Reply:
    """Delete a domain that nothing needs: it has no records, and no subnet or reservation names it."""
    with change(query) as session:
        domain = get(session, name)
        using = "[dns] domain of the settings, which makes it the default" if domain.default else users(session, domain)
        if using:
            message = f"Domain {domain.name} is needed by {using}."
            raise Conflict("domain_in_use", message, "Delete those first, or keep the domain.", domain=domain.name)
        carry_out(session, "domain.deleted", f"domain {domain.name} was deleted by {caller()}", {"domain": domain.name})
        session.delete(domain)
    return None


def _show(session: Session, found: Sequence[Domain]) -> list[dict[str, Any]]:
    inside = Record.domain_id.in_([domain.id for domain in found])
    rows = session.execute(select(Record.domain_id, func.count()).where(inside).group_by(Record.domain_id))
    counts = {row[0]: row[1] for row in rows}
    views = []
    for domain in found:
        fields = {name: getattr(domain, name) for name in ("id", "name", *FIELDS, "default")}
        views.append({**fields, "records": counts.get(domain.id, 0), "created_at": domain.created_at.isoformat()})
    return views
