# SPDX-License-Identifier: GPL-3.0-or-later
"""``POST /machines/{m}/...``: what machines are told to do; and the timeline of what they did."""

from __future__ import annotations

from flask import Blueprint
from sqlalchemy import case, select
from sqlalchemy.orm import Session

from metalwright.api import operation_schema
from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.machine_schema import Converged, Release, Timeline, TimelineOf
from metalwright.api.machines import find
from metalwright.api.operation_schema import Started
from metalwright.errors import Conflict, NotFound
from metalwright.lifecycle import converge, deploy
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.lifecycle.timeline import timeline
from metalwright.store.models import Machine, Operation

machine_actions = Blueprint("machine_actions", __name__)


class NoBody(Schema):
    """An empty object, or no body at all."""


def _action(kind: str, text: str) -> None:
    """Declare the endpoint of an operation that takes no parameters."""

    def act(name: str, *, body: NoBody, query: Change) -> Reply:  # noqa: ARG001 - an empty body is all there may be
        here = context()
        with here.change(dry_run=query.dry_run) as session:
            machine = find(session, name, lock=True)
            return _started(here.engine.start(session, machine, kind, {}, by=caller()))

    act.__name__, act.__doc__ = f"{kind.replace('-', '_')}_machine", text
    endpoint(
        machine_actions, "POST", f"/machines/<name>/{kind}", body=NoBody, query=Change, answers={202: Started}, errors=(404, 409)
    )(act)


_action("commission", "Boot the agent, take the inventory, turn the machine off: it is ``ready`` then.")
_action("power-on", "Turn the machine on.")
_action("power-off", "Turn the machine off, at once.")
_action("power-cycle", "Start the machine again: reset if it is on, turn on if it is off.")
_action("power-query", "Ask the machine's power driver whether it is on.")


def _started(operation: Operation) -> Reply:
    return {"operation": operation_schema.show(operation)}


@endpoint(
    machine_actions,
    "POST",
    "/machines/<name>/deploy",
    body=deploy.Deployment,
    query=Change,
    answers={202: Started},
    errors=(404, 409),
)
def deploy_machine(name: str, *, body: deploy.Deployment, query: Change) -> Reply:
    """Install an image and boot it. Everything that can be wrong with the request is said before the power is touched."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        machine = find(session, name, lock=True)
        parameters = deploy.validate(session, machine, body)
        return _started(here.engine.start(session, machine, "deploy", parameters, by=caller()))


@endpoint(
    machine_actions, "POST", "/machines/<name>/release", body=Release, query=Change, answers={202: Started}, errors=(404, 409)
)
def release_machine(name: str, *, body: Release, query: Change) -> Reply:
    """Erase all disks and turn the machine off: it is ``ready`` for the next, and leaves its allocation."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        machine = find(session, name, lock=True)
        return _started(here.engine.start(session, machine, "release", body.model_dump(), by=caller()))


@endpoint(machine_actions, "POST", "/machines/<name>/abort", body=NoBody, query=Change, answers={202: Started}, errors=(404, 409))
def abort_machine(name: str, *, body: NoBody, query: Change) -> Reply:  # noqa: ARG001 - an empty body is all there may be
    """End what the machine is doing."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        machine = find(session, name, lock=True)
        operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
        if operation is None:
            raise Conflict("nothing_to_abort", f"{machine.name} is doing nothing that could be aborted.", machine=machine.name)
        here.engine.abort(session, operation, by=caller())
        return _started(operation)


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
        told = timeline(session, operation, here.clock)
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
