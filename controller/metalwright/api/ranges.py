# SPDX-License-Identifier: GPL-3.0-or-later
"""``/ranges``: what the addresses of subnets are for. A range is known by its identifier or its first address."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, bad_cursor, cursor
from metalwright.api.network_changes import Comment, carry_out, change
from metalwright.api.shapes import Listing
from metalwright.api.subnets import Range, RangeOfSubnet, show_range
from metalwright.errors import NotFound
from metalwright.network import subnets
from metalwright.network.ranges import Kind
from metalwright.store.models import IpRange, Subnet

ranges = Blueprint("ranges", __name__)


class RangeCreate(Range):
    """A new range."""

    subnet: str = Field(max_length=63, description="Name or identifier of its subnet.")


class RangePatch(Schema):
    """What is to change; what is not named stays."""

    kind: Kind = "dynamic"
    start: str = Field("", max_length=45)
    end: str = Field("", max_length=45)
    comment: Comment = ""


class RangeList(Page):
    """Which ranges."""

    subnet: list[str] = Field([], description="Names of subnets.")
    kind: list[Kind] = Field([], description="dynamic, static, reserved.")


class RangeView(RangeOfSubnet):
    """A range of a subnet."""

    id: str
    subnet: str
    created_at: str


class RangeChanged(RangeView):
    """A range after a change; ``changed`` is false when it was like that already."""

    changed: bool


FIELDS = ("id", "subnet", "kind", "start", "end", "comment", "created_at")


@endpoint(ranges, "GET", "/ranges", query=RangeList, answers={200: Listing[RangeView]})
def list_ranges(*, query: RangeList) -> Reply:
    """List ranges by their first address."""
    fields = query.chosen(FIELDS)
    statement = select(IpRange).join(Subnet)
    if query.subnet:
        statement = statement.where(Subnet.name.in_(query.subnet))
    if query.kind:
        statement = statement.where(IpRange.kind.in_(query.kind))
    with context().store.session() as session:
        found = {_place(row.start): _show(row) for row in session.scalars(statement)}
    places = sorted(found)
    if (last := query.after(1)) is not None:
        places = [place for place in places if place > _read_place(last[0])]
    items = [{field: found[place][field] for field in fields} for place in places[: query.limit]]
    more = len(places) > query.limit
    return {"items": items, "next": cursor((found[places[query.limit - 1]]["start"],)) if more else None}


def _place(address: str) -> tuple[int, int]:
    parsed = ip_address(address)
    return parsed.version, int(parsed)


def _read_place(address: str) -> tuple[int, int]:
    try:
        return _place(address)
    except ValueError:
        raise bad_cursor() from None


@endpoint(ranges, "GET", "/ranges/<name>", answers={200: RangeView}, errors=(404,))
def get_range(name: str) -> Reply:
    """Show a range."""
    with context().store.session() as session:
        return _show(_find(session, name))


@endpoint(ranges, "POST", "/ranges", body=RangeCreate, query=Change, answers={201: RangeView}, errors=(404, 409))
def create_range(*, body: RangeCreate, query: Change) -> Reply:
    """Add a range to a subnet."""
    with change(query) as session:
        subnet = subnets.find(session, body.subnet, lock=True)
        wished = body.model_dump(exclude={"subnet"})
        row = IpRange(**_checked(session, subnet, None, wished), created_at=context().clock())
        subnet.ranges.append(row)
        session.flush()
        _told(session, "range.created", f"the {_named(row)} was added by {caller()}", row)
        return _show(row)


@endpoint(ranges, "PATCH", "/ranges/<name>", body=RangePatch, query=Change, answers={200: RangeChanged}, errors=(404, 409))
def change_range(name: str, *, body: RangePatch, query: Change) -> Reply:
    """Change a range; what is not named stays, and so do the addresses that were given from it."""
    with change(query) as session:
        row = _find(session, name)
        subnet = subnets.find(session, row.subnet_id, lock=True)
        before = show_range(row)
        wished = _checked(session, subnet, row, {**before, **body.model_dump(include=body.model_fields_set)})
        for field, value in wished.items():
            setattr(row, field, value)
        changed = [field for field, value in wished.items() if before[field] != value]
        if changed:
            _told(session, "range.changed", f"the {_named(row)}: {', '.join(changed)} changed by {caller()}", row)
        session.flush()
        return {**_show(row), "changed": bool(changed)}


@endpoint(ranges, "DELETE", "/ranges/<name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_range(name: str, *, query: Change) -> Reply:
    """Delete a range from which nobody has an address."""
    with change(query) as session:
        row = _find(session, name)
        subnet = subnets.find(session, row.subnet_id, lock=True)
        _checked(session, subnet, row, None)
        _told(session, "range.deleted", f"the {_named(row)} was deleted by {caller()}", row)
        subnet.ranges.remove(row)
    return None


def _checked(session: Session, subnet: Subnet, row: IpRange | None, wished: dict[str, Any] | None) -> dict[str, Any]:
    """The columns that a range comes to, if its subnet makes sense with it in the place of ``row``; None: with none there."""
    others = [show_range(other) for other in subnet.ranges if other is not row]
    given = [*others, *([wished] if wished else ())]
    definition = subnets.define(session, {"ranges": given}, context().clock(), existing=subnet)
    if wished is None:
        return {}
    bounds = list(definition.ranges)[-1]
    return {"kind": bounds.kind, "start": str(bounds.start), "end": str(bounds.end), "comment": wished["comment"]}


def _told(session: Session, kind: str, message: str, row: IpRange) -> None:
    carry_out(session, kind, message, {"subnet": row.subnet.name, **show_range(row)})


def _named(row: IpRange) -> str:
    return f"{row.kind} range {row.start} to {row.end} of subnet {row.subnet.name}"


def _show(row: IpRange) -> dict[str, Any]:
    return {"id": row.id, "subnet": row.subnet.name, **show_range(row), "created_at": row.created_at.isoformat()}


def _find(session: Session, name: str) -> IpRange:
    row = session.scalar(select(IpRange).where((IpRange.id == name) | (IpRange.start == name.lower())))
    if row is None:
        hint = "A range is named by its first address; 'metalwright range list' shows them."
        raise NotFound("range_not_found", f"There is no range that begins at {name}.", hint, range=name)
    return row
