# SPDX-License-Identifier: GPL-3.0-or-later
"""``/operations``: what is and was under way; long poll; abort."""

from __future__ import annotations

from flask import Blueprint
from sqlalchemy import or_, select, tuple_

from metalwright.api import operation_schema
from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.listing import moment_in, page
from metalwright.api.operation_schema import LIGHT, OperationList, OperationView, Started, Wait
from metalwright.api.shapes import Listing
from metalwright.lifecycle.ending import LIVE
from metalwright.store.models import Machine, Operation

operations = Blueprint("operations", __name__)


@endpoint(operations, "GET", "/operations", query=OperationList, answers={200: Listing[OperationView]})
def list_operations(*, query: OperationList) -> Reply:
    """List operations, newest first."""
    fields = query.chosen(OperationView.__annotations__)
    statement = (
        select(Operation).options(*LIGHT).order_by(Operation.created_at.desc(), Operation.id.desc()).limit(query.limit + 1)
    )
    if query.state:
        statement = statement.where(Operation.state.in_(query.state))
    if query.kind:
        statement = statement.where(Operation.kind.in_(query.kind))
    if query.machine:
        wanted = select(Machine.id).where(or_(Machine.id == query.machine, Machine.name == query.machine))
        statement = statement.where(Operation.machine_id.in_(wanted))
    if (last := query.after(2)) is not None:
        statement = statement.where(tuple_(Operation.created_at, Operation.id) < (moment_in(last[0]), last[1]))
    with context().store.session() as session:
        found = session.scalars(statement).all()
        items = [operation_schema.show(operation) for operation in found[: query.limit]]
    shown = [{name: item[name] for name in fields} for item in items] if query.fields else list(items)  # type: ignore[literal-required]
    return page(found, query.limit, shown, lambda operation: (operation.created_at.isoformat(), operation.id))


@endpoint(operations, "GET", "/operations/<operation_id>", query=Wait, answers={200: OperationView}, errors=(404,))
def get_operation(operation_id: str, *, query: Wait) -> Reply:
    """Show an operation; with ``wait``, as soon as it has ended."""

    def look() -> tuple[bool, OperationView]:
        with context().store.session() as session:
            shown = operation_schema.show(operation_schema.find(session, operation_id, light=True))
            return shown["state"] not in LIVE, shown

    return context().wait_for(look, query.wait)


@endpoint(operations, "POST", "/operations/<operation_id>/abort", query=Change, answers={202: Started}, errors=(404, 409))
def abort_operation(operation_id: str, *, query: Change) -> Reply:
    """End an operation. The machine goes back to its former state if nothing on its disks was changed, else it is ``failed``."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        operation = operation_schema.find(session, operation_id)
        here.engine.abort(session, operation, by=caller())
        return {"operation": operation_schema.show(operation)}
