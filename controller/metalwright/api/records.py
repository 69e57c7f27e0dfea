# SPDX-License-Identifier: GPL-3.0-or-later
"""``/records``: DNS records of the domains that are held here. Names of machines and reservations are there by themselves."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session, contains_eager
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.network_changes import Ttl, carry_out, change
from metalwright.api.shapes import Listing
from metalwright.errors import NotFound
from metalwright.network import domains
from metalwright.network.record_data import LONGEST_TEXT
from metalwright.network.records import FIELDS, absolute, validate
from metalwright.store.models import Domain, Record

records = Blueprint("records", __name__)


class _Fields(Schema):
    name: str = Field("@", max_length=254, description="Relative to the domain, or ending in it; @ is the domain itself.")
    type: str = Field("", max_length=8, description="A, AAAA, CNAME, MX, TXT or SRV. PTR records are kept by themselves.")
    data: str = Field("", max_length=LONGEST_TEXT, description="As in a zone file, but names need no dot at their end.")
    ttl: Ttl | None = Field(None, description="Seconds an answer may be kept. Default: that of the domain.")


class RecordCreate(_Fields):
    """A new record."""

    domain: str = Field(max_length=254, description="Name or identifier of the domain.")
    type: str = Field(max_length=8, description="A, AAAA, CNAME, MX, TXT or SRV. PTR records are kept by themselves.")
    data: str = Field(max_length=LONGEST_TEXT, description="As in a zone file, but names need no dot at their end.")


class RecordPatch(_Fields):
    """What is to change; what is not named stays."""


class RecordList(Page):
    """Which records."""

    domain: list[str] = Field([], description="Names of domains.")
    name: list[str] = Field([], description="Names in their domain.")
    type: list[str] = Field([], description="Types.")


class RecordView(TypedDict):
    """A record."""

    id: str
    domain: str
    name: str
    type: str
    data: str
    ttl: int | None
    created_at: str


class RecordChanged(RecordView):
    """A record after a change; ``changed`` is false when it was like that already."""

    changed: bool


@endpoint(records, "GET", "/records", query=RecordList, answers={200: Listing[RecordView]})
def list_records(*, query: RecordList) -> Reply:
    """List records by domain, name and type."""
    fields = query.chosen(RecordView.__annotations__)
    order = (Domain.name, Record.name, Record.type, Record.id)
    statement = select(Record).join(Domain).options(contains_eager(Record.domain)).order_by(*order).limit(query.limit + 1)
    for column, wanted in ((Domain.name, query.domain), (Record.name, query.name), (Record.type, query.type)):
        if wanted:
            statement = statement.where(
                column.in_([value.upper() if column is Record.type else value.lower() for value in wanted])
            )
    if (last := query.after(4)) is not None:
        statement = statement.where(tuple_(*order) > tuple(last))
    with context().store.session() as session:
        found = session.scalars(statement).all()
        views = [_show(each) for each in found[: query.limit]]
    items = [{name: view[name] for name in fields} for view in views]
    return page(found, query.limit, items, lambda each: (each.domain.name, each.name, each.type, each.id))


@endpoint(records, "GET", "/records/<record_id>", answers={200: RecordView}, errors=(404,))
def get_record(record_id: str) -> Reply:
    """Show a record."""
    with context().store.session() as session:
        return _show(_find(session, record_id))


@endpoint(records, "POST", "/records", body=RecordCreate, query=Change, answers={201: RecordView}, errors=(404, 409))
def create_record(*, body: RecordCreate, query: Change) -> Reply:
    """Add a record. That of an address has its reverse name made, where the address lies in a subnet."""
    here = context()
    with change(query) as session:
        domain = domains.get(session, body.domain)
        columns = validate(session, domain, body.model_dump(exclude={"domain"}), here.settings.dns.domain)
        row = Record(**columns, domain=domain, created_at=here.clock())
        session.add(row)
        session.flush()
        tell(session, "record.created", "added", row)
        return _show(row)


@endpoint(
    records, "PATCH", "/records/<record_id>", body=RecordPatch, query=Change, answers={200: RecordChanged}, errors=(404, 409)
)
def change_record(record_id: str, *, body: RecordPatch, query: Change) -> Reply:
    """Change a record; what is not named stays."""
    here = context()
    with change(query) as session:
        row = _find(session, record_id)
        given = body.model_dump(include=body.model_fields_set)
        wished = validate(session, row.domain, given, here.settings.dns.domain, existing=row)
        changed = [field for field in FIELDS if getattr(row, field) != wished[field]]
        for field in changed:
            setattr(row, field, wished[field])
        if changed:
            tell(session, "record.changed", "changed", row)
        session.flush()
        return {**_show(row), "changed": bool(changed)}


@endpoint(records, "DELETE", "/records/<record_id>", query=Change, answers={204: None}, errors=(404,))
def delete_record(record_id: str, *, query: Change) -> Reply:
    """Delete a record."""
    with change(query) as session:
        row = _find(session, record_id)
        tell(session, "record.deleted", "deleted", row)
        session.delete(row)
    return None


def tell(session: Session, kind: str, what: str, row: Record) -> None:
    """Tell what was changed about a record, and have it carried to DNS."""
    message = f"record {absolute(row.name, row.domain.name)} {row.type} {row.data} was {what} by {caller()}"
    data = {"domain": row.domain.name, "name": row.name, "type": row.type, "data": row.data}
    carry_out(session, kind, message, data)


def _show(row: Record) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in FIELDS}
    return {"id": row.id, "domain": row.domain.name, **fields, "created_at": row.created_at.isoformat()}


def _find(session: Session, record_id: str) -> Record:
    row = session.get(Record, record_id)
    if row is None:
        raise NotFound(
            "record_not_found", f"There is no record {record_id}.", "'metalwright record list' shows them.", record=record_id
        )
    return row
