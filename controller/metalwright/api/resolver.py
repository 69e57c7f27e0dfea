# SPDX-License-Identifier: GPL-3.0-or-later
"""``/dns``: how names are answered."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.network_changes import Ttl, carry_out, change
from metalwright.network.resolving import FIELDS, THE_ONE, read, validate
from metalwright.store.models import Resolver

resolver = Blueprint("dns", __name__)


class DnsPatch(Schema):
    """What is to change; what is not named stays. Null: as the settings of the controller say."""

    forwarders: list[str] | None = Field(
        None, max_length=8, description="Name servers that are asked for names of others. Empty: nobody is."
    )
    query_from: list[str] | None = Field(
        None, max_length=64, description="Networks that may ask for our names. Empty: the subnets."
    )
    recurse_from: list[str] | None = Field(
        None, max_length=64, description="Networks that may ask for names of others. Empty: the subnets."
    )
    ttl: Ttl | None = Field(None, description="Seconds an answer may be kept, where nothing else is said. Default: 300.")


class DnsView(TypedDict):
    """How names are answered. ``default_domain`` is [dns] domain of the settings; ``set`` names what is not from there."""

    forwarders: list[str]
    query_from: list[str]
    recurse_from: list[str]
    ttl: int
    default_domain: str
    set: list[str]


class DnsChanged(DnsView):
    """How names are answered after a change; ``changed`` is false when it was like that already."""

    changed: bool


@endpoint(resolver, "GET", "/dns", answers={200: DnsView})
def get_dns() -> Reply:
    """Show how names are answered."""
    with context().store.session() as session:
        return _show(session)


@endpoint(resolver, "PATCH", "/dns", body=DnsPatch, query=Change, answers={200: DnsChanged})
def change_dns(*, body: DnsPatch, query: Change) -> Reply:
    """Change how names are answered; what is not named stays."""
    wished = validate(body.model_dump(include=body.model_fields_set))
    with change(query) as session:
        row = session.get(Resolver, THE_ONE)
        before = {field: getattr(row, field) if row is not None else None for field in FIELDS}
        changed = [field for field, value in wished.items() if before[field] != value]
        if changed:
            session.merge(Resolver(**{"id": THE_ONE, **before, **wished}))
            carry_out(session, "dns.changed", f"DNS: {', '.join(changed)} changed by {caller()}", {"changed": changed})
        session.flush()
        return {**_show(session), "changed": bool(changed)}


def _show(session: Session) -> dict[str, Any]:
    settings = context().settings
    found, row = read(session, settings), session.get(Resolver, THE_ONE)
    lists = {field: list(getattr(found, field)) for field in ("forwarders", "query_from", "recurse_from")}
    known = [field for field in FIELDS if row is not None and getattr(row, field) is not None]
    return {**lists, "ttl": found.ttl, "default_domain": settings.dns.domain, "set": known}
