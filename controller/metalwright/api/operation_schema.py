# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations as the API shows them. Their parameters are not shown: user-data may hold passwords."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session, defer, joinedload, lazyload, load_only
from typing_extensions import TypedDict

from metalwright.api.endpoint import Schema
from metalwright.api.listing import Page
from metalwright.api.shapes import moment
from metalwright.errors import NotFound
from metalwright.store.models import Machine, Operation

LIGHT = (
    defer(Operation.parameters),
    joinedload(Operation.machine).options(load_only(Machine.name), lazyload(Machine.interfaces), lazyload(Machine.allocation)),
)
"""How operations are read that are only shown: without their parameters and the inventory of their machines."""


class Named(TypedDict):
    """A thing by its identifier and its name."""

    id: str
    name: str


class Failure(TypedDict, total=False):
    """Why an operation did not succeed; ``last_seen`` is the last sign of the machine."""

    code: str
    message: str
    phase: str | None
    hint: str
    last_seen: str
    log_tail: str
    docs: str


class PlaybookRun(TypedDict):
    """The playbook that the controller runs for an operation. ``recap``, at its end: tasks by how they ended."""

    name: str
    status: Literal["running", "succeeded", "failed", "stopped"]
    began: int
    started_at: str
    ended_at: str | None
    recap: dict[str, int] | None


class OperationView(TypedDict):
    """A long-running action on one machine. ``next``: kinds of the operations that follow if it succeeds.

    ``followed_by``: the operation that did. A success with a ``next`` that nothing followed has the reason in ``message``.
    """

    id: str
    kind: str
    machine: Named
    state: Literal["queued", "running", "succeeded", "failed", "aborted"]
    phase: str | None
    progress: int | None
    message: str
    requested_by: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    deadline: str | None
    failure: Failure | None
    playbook: PlaybookRun | None
    next: list[str]
    followed_by: str | None


class Started(TypedDict):
    """The answer to an action."""

    operation: OperationView


class OperationList(Page):
    """Filters of the list of operations, newest first."""

    machine: str | None = Field(None, max_length=63, description="Name or identifier of a machine.")
    state: list[Literal["queued", "running", "succeeded", "failed", "aborted"]] = Field([], description="Any of these states.")
    kind: list[str] = Field([], description="Any of these kinds.")


class Wait(Schema):
    """Long poll."""

    wait: float = Field(0, ge=0, le=60, description="Seconds to wait for the operation's end before answering as it is.")


def show(operation: Operation) -> OperationView:
    """An operation for the API."""
    state: Any = operation.state
    failure: Any = operation.failure
    run: Any = operation.playbook_run
    return {
        "id": operation.id,
        "kind": operation.kind,
        "machine": {"id": operation.machine_id, "name": operation.machine.name},
        "state": state,
        "phase": operation.phase,
        "progress": operation.progress,
        "message": operation.message,
        "requested_by": operation.requested_by,
        "created_at": operation.created_at.isoformat(),
        "started_at": moment(operation.started_at),
        "ended_at": moment(operation.ended_at),
        "deadline": moment(operation.deadline),
        "failure": failure,
        "playbook": run,
        "next": [step["kind"] for step in operation.next],
        "followed_by": operation.followed_by,
    }


def find(session: Session, identifier: str, *, light: bool = False) -> Operation:
    """The operation of that identifier. Raises ``NotFound`` (``operation_not_found``)."""
    statement = select(Operation).where(Operation.id == identifier)
    operation = session.scalar(statement.options(*LIGHT) if light else statement)
    if operation is None:
        raise NotFound("operation_not_found", f"There is no operation {identifier}.", operation=identifier)
    return operation
