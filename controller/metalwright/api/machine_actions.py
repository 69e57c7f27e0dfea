# SPDX-License-Identifier: GPL-3.0-or-later
"""``POST /machines/{m}/...``: what machines are told to do; and the timeline of what they did."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import BaseModel
from sqlalchemy import case, select
from sqlalchemy.orm import Session

from metalwright.api import operation_schema
from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.errors import known
from metalwright.api.machine_acts import ACTS, Act
from metalwright.api.machine_schema import Bulk, BulkDone, BulkItem, Converged, MachineView, Timeline, TimelineOf
from metalwright.api.machines import filters, find, shown
from metalwright.api.operation_schema import Started
from metalwright.errors import NotFound
from metalwright.lifecycle import converge
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.lifecycle.timeline import timeline
from metalwright.store.models import Machine, Operation

machine_actions = Blueprint("machine_actions", __name__)


def _declare(act: Act) -> None:
    """Declare the endpoint by which one machine is told."""

    def tell(name: str, *, body: BaseModel, query: Change) -> Reply:
        here = context()
        with here.change(dry_run=query.dry_run) as session:
            machine = find(session, name, lock=act.name != "abort")  # whoever ends an operation locks that first
            operation = act.do(session, here, machine, body, caller())
            if operation is not None:
                return _started(operation)
            session.flush()
            return shown(session, machine.id)

    tell.__name__, tell.__doc__ = f"{act.name.replace('-', '_')}_machine", act.text
    answers = {202: Started} if act.starts else {200: MachineView}
    rule = f"/machines/<name>/{act.name}"
    endpoint(machine_actions, "POST", rule, body=act.body, query=Change, answers=answers, errors=(404, 409))(tell)


for _act in ACTS.values():
    if not _act.many_only:
        _declare(_act)


def _started(operation: Operation) -> Reply:
    return {"operation": operation_schema.show(operation)}


@endpoint(machine_actions, "POST", "/machines/actions/<action>", body=Bulk, query=Change, answers={200: BulkDone}, errors=(404,))
def act_on_machines(action: str, *, body: Bulk, query: Change) -> Reply:
    """Tell many machines the same; each is a transaction of its own and answers for itself.

    Actions are those of one machine (``POST /machines/{name}/...``), and ``delete``.
    """
    act = ACTS.get(action)
    if act is None:
        raise NotFound("action_unknown", f"Machines know no action {action}.", f"They know: {', '.join(ACTS)}.")
    said = act.body.model_validate(body.parameters)
    items = [_tell_one(act, name, said, query.dry_run) for name in _names(body)]
    return {"items": items, "failed": sum(item["error"] is not None for item in items)}


def _names(body: Bulk) -> list[str]:
    if body.machines is not None:
        return list(dict.fromkeys(body.machines))
    assert body.filter is not None  # noqa: S101 - the schema demands one of the two
    with context().store.session() as session:
        return list(session.scalars(select(Machine.name).where(*filters(body.filter)).order_by(Machine.name)))


def _tell_one(act: Act, name: str, body: BaseModel, dry_run: bool) -> BulkItem:
    here = context()
    try:
        with here.change(dry_run=dry_run) as session:
            operation = act.do(session, here, find(session, name, lock=act.name != "abort"), body, caller())
            started = operation_schema.show(operation) if operation is not None else None
    except Exception as error:  # noqa: BLE001 - whatever one machine's trouble is, the others are told nevertheless
        refused = known(error)
        refusal: Any = refused.as_dict()
        return {"machine": name, "status": refused.status, "operation": None, "error": refusal}
    return {"machine": name, "status": 202 if started else 200, "operation": started, "error": None}


@endpoint(
    machine_actions,
    "POST",
    "/machines/<name>/converge",
    body=converge.Wish,
    query=Change,
    answers={200: Converged, 202: Converged},
    errors=(404, 409),
)
def converge_machine(name: str, *, body: converge.Wish, query: Change) -> Reply:
    """Lead a machine from where it stands to the state wished: 200 when it is there, 202 with the plan when it is on its way."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        machine = find(session, name, lock=True)
        running = machine.operation_id
        outcome = converge.carry_out(session, here.engine, machine, body, by=caller())
        real = outcome.operation is not None and (not query.dry_run or outcome.operation.id == running)
        shown = {
            "changed": outcome.changed,
            "plan": [{"operation": kind} for kind in outcome.plan],
            "operation": operation_schema.show(outcome.operation) if outcome.operation and real else None,
            "diff": {"before": outcome.before, "after": outcome.after},
        }
        return shown, 202 if outcome.changed and not query.dry_run else 200


@endpoint(machine_actions, "GET", "/machines/<name>/timeline", query=TimelineOf, answers={200: Timeline}, errors=(404,))
def machine_timeline(name: str, *, query: TimelineOf) -> Reply:
    """Where the time of an operation went, step by step; and if it is stuck, what was last seen."""
    here = context()
    with here.store.session() as session:
        machine = find(session, name)
        operation = _chosen(session, machine, query.operation)
        told = timeline(session, operation, here.clock, sees_dhcp=here.settings.dhcp.runs_here)
        return {**told, "machine": machine.name, "operation": operation_schema.show(operation)}


def _chosen(session: Session, machine: Machine, identifier: str | None) -> Operation:
    power_last = case({kind: 1 for kind in OPERATIONS if kind.startswith("power-")}, value=Operation.kind, else_=0)
    statement = select(Operation).where(Operation.machine_id == machine.id).order_by(power_last, Operation.created_at.desc())
    if identifier is not None:
        statement = statement.where(Operation.id == identifier)
    operation = session.scalar(statement.limit(1))
    if operation is None:
        raise NotFound("operation_not_found", f"{machine.name} has no such operation.", machine=machine.name)
    return operation
