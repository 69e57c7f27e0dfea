# SPDX-License-Identifier: GPL-3.0-or-later
"""``/allocations``: named claims on machines."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.shapes import Listing
from metalwright.errors import Invalid
from metalwright.lifecycle import allocation as allocating
from metalwright.lifecycle.allocation import Constraints
from metalwright.store.models import Allocation, Machine

allocations = Blueprint("allocations", __name__)


class AllocationPut(Schema):
    """What an allocation should be."""

    count: int = Field(ge=0, le=10_000, description="How many machines.")
    constraints: Constraints = Field(Constraints(), description="What each of them must have.")


class AllocationView(TypedDict):
    """A named claim on machines, by name; sizes among the constraints are MiB."""

    name: str
    count: int
    constraints: dict[str, Any]
    machines: list[str]
    created_at: str


class AllocationChanged(TypedDict):
    """An allocation after a request (None: deleted), and the names of the machines that came and went."""

    allocation: AllocationView | None
    changed: bool
    added: list[str]
    removed: list[str]


@endpoint(allocations, "GET", "/allocations", query=Page, answers={200: Listing[AllocationView]})
def list_allocations(*, query: Page) -> Reply:
    """List allocations by name."""
    fields = query.chosen(AllocationView.__annotations__)
    statement = select(Allocation).order_by(Allocation.name).limit(query.limit + 1)
    if (last := query.after(1)) is not None:
        statement = statement.where(Allocation.name > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
        items = _show(session, found[: query.limit])
    return page(found, query.limit, [{name: item[name] for name in fields} for item in items], lambda each: (each.name,))


@endpoint(allocations, "GET", "/allocations/<name>", answers={200: AllocationView}, errors=(404,))
def get_allocation(name: str) -> Reply:
    """Show an allocation."""
    with context().store.session() as session:
        return _show(session, [allocating.find(session, name)])[0]


@endpoint(
    allocations, "PUT", "/allocations/<name>", body=AllocationPut, query=Change, answers={200: AllocationChanged}, errors=(409,)
)
def put_allocation(name: str, *, body: AllocationPut, query: Change) -> Reply:
    """Make an allocation hold that many machines. Asking again changes nothing; all is taken or nothing is."""
    if not allocating.WORD.fullmatch(name):
        raise Invalid("invalid_request", "The name of an allocation is 1 to 63 letters, digits, dots, hyphens and underscores.")
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        outcome = allocating.put(session, name, body.count, body.constraints, by=caller(), now=here.clock())
        session.flush()
        return _changed(session, outcome)


@endpoint(allocations, "DELETE", "/allocations/<name>", query=Change, answers={200: AllocationChanged}, errors=(404, 409))
def delete_allocation(name: str, *, query: Change) -> Reply:
    """Give all machines of an allocation back; those that are deployed must be released first."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        return _changed(session, allocating.delete(session, name, by=caller(), now=here.clock()))


def _changed(session: Session, outcome: allocating.Outcome) -> AllocationChanged:
    shown: Any = _show(session, [outcome.allocation])[0] if outcome.allocation is not None else None
    return {"allocation": shown, "changed": outcome.changed, "added": outcome.added, "removed": outcome.removed}


def _show(session: Session, found: Any) -> list[dict[str, Any]]:
    members: dict[str | None, list[str]] = {allocation.id: [] for allocation in found}
    held = select(Machine.allocation_id, Machine.name).where(Machine.allocation_id.in_(members)).order_by(Machine.name)
    for allocation_id, name in session.execute(held):
        members[allocation_id].append(name)
    return [
        {
            "name": each.name,
            "count": each.count,
            "constraints": each.constraints,
            "machines": members[each.id],
            "created_at": each.created_at.isoformat(),
        }
        for each in found
    ]
