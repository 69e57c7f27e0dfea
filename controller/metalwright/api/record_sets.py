# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of a domain that are declared together: all of them, or those of one name and type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.network_changes import Ttl, carry_out, change
from metalwright.api.records import tell
from metalwright.network import domains, record_data, records
from metalwright.network.record_sets import replace
from metalwright.store.models import Domain, Record

record_sets = Blueprint("record-sets", __name__)

Which = tuple[ColumnElement[bool], ...]
"""Conditions by which some of a domain's records are meant."""


class RecordOfDomain(Schema):
    """A record of a domain."""

    name: str = Field("@", max_length=254, description="Relative to the domain, or ending in it; @ is the domain itself.")
    type: str = Field(max_length=8, description="A, AAAA, CNAME, MX, TXT or SRV. PTR records are kept by themselves.")
    data: str = Field(max_length=record_data.LONGEST_TEXT, description="As in a zone file, but names need no dot at their end.")
    ttl: Ttl | None = Field(None, description="Seconds an answer may be kept. Default: that of the domain.")


class AllRecords(Schema):
    """All records of a domain."""

    records: list[RecordOfDomain] = Field(max_length=4096, description="Those that are not named are deleted.")


class RecordSet(Schema):
    """All records of one name and type."""

    domain: str = Field(max_length=254, description="Name or identifier of the domain.")
    name: str = Field("@", max_length=254, description="Relative to the domain, or ending in it; @ is the domain itself.")
    type: str = Field(max_length=8, description="A, AAAA, CNAME, MX, TXT or SRV. PTR records are kept by themselves.")
    data: list[str] = Field(max_length=256, description="As in a zone file, one for each record. None: there are to be none.")
    ttl: Ttl | None = Field(None, description="Seconds an answer may be kept; as it is, if it is not named.")


class RecordOfDomainView(TypedDict):
    """A record of a domain."""

    name: str
    type: str
    data: str
    ttl: int | None


class AllRecordsChanged(TypedDict):
    """All records of a domain, before and after a change; ``changed`` is false when they were like that already."""

    domain: str
    before: list[RecordOfDomainView]
    records: list[RecordOfDomainView]
    changed: bool


class RecordSetChanged(TypedDict):
    """The records of one name and type, before and after a change; ``changed`` is false when they were like that already."""

    domain: str
    name: str
    type: str
    before: list[RecordOfDomainView]
    records: list[RecordOfDomainView]
    changed: bool


@endpoint(
    record_sets, "PUT", "/domains/<name>/records", body=AllRecords, query=Change, answers={200: AllRecordsChanged}, errors=(409,)
)
def put_records(name: str, *, body: AllRecords, query: Change) -> Reply:
    """Declare all records of a domain, which is made if it is not there. Those that are not named are deleted."""
    with change(query) as session:
        made = domains.find(session, name) is None
        domain = domains.get(session, (domains.have(session, name, context().clock()) or name) if made else name)
        declared = _declare(session, domain, (), [each.model_dump() for each in body.records])
        if made and not declared["changed"]:
            carry_out(session, "domain.changed", f"domain {domain.name} is held here", {"domain": domain.name})
        return {"domain": domain.name, **declared, "changed": made or declared["changed"]}


@endpoint(record_sets, "PUT", "/record-sets", body=RecordSet, query=Change, answers={200: RecordSetChanged}, errors=(404, 409))
def put_record_set(*, body: RecordSet, query: Change) -> Reply:
    """Declare all records of one name and type. Those that are not named are deleted."""
    with change(query) as session:
        domain = domains.get(session, body.domain)
        kind = records.type_(body.type)
        name = record_data.name(kind, body.name, domain.name)
        mine = (Record.name == name, Record.type == kind)
        ttl = {} if "ttl" in body.model_fields_set else {"ttl": _ttl(session, domain, mine)}
        wished = [{"name": name, "type": kind, "data": data, "ttl": body.ttl, **ttl} for data in body.data]
        return {"domain": domain.name, "name": name, "type": kind, **_declare(session, domain, mine, wished)}


def _ttl(session: Session, domain: Domain, which: Which) -> int | None:
    """The TTL that records have: one for all of them (RFC 2181 section 5.2)."""
    return min((row.ttl for row in _stored(session, domain, which) if row.ttl is not None), default=None)


def _declare(session: Session, domain: Domain, which: Which, wished: list[dict[str, Any]]) -> dict[str, Any]:
    """Bring those records of a domain to what is wished; answers them before and after, and whether that is a change."""
    here = context()
    there = _stored(session, domain, which)
    before = _show(there)
    changes = replace(session, domain, there, wished, here.settings.dns.domain, here.clock())
    for what, row in changes:
        tell(session, f"record.{what}", "added" if what == "created" else what, row)
    return {"before": before, "records": _show(_stored(session, domain, which)), "changed": bool(changes)}


def _stored(session: Session, domain: Domain, which: Which) -> Sequence[Record]:
    order = (Record.name, Record.type, Record.data)
    return session.scalars(select(Record).where(Record.domain_id == domain.id, *which).order_by(*order)).all()


def _show(rows: Sequence[Record]) -> list[dict[str, Any]]:
    return [{field: getattr(row, field) for field in records.FIELDS} for row in rows]
