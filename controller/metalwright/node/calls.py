# SPDX-License-Identifier: GPL-3.0-or-later
"""What all calls of an agent share: whose they are, and that each is a sign of life."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, g, request
from sqlalchemy.orm import Session

from metalwright.errors import NotFound
from metalwright.lifecycle import script_runs, tokens
from metalwright.lifecycle.operations import OPERATIONS, Signal
from metalwright.node import job
from metalwright.node.plane import Plane
from metalwright.store.base import Clock
from metalwright.store.models import Operation


def check_tokens(room: Blueprint, plane: Plane) -> None:
    """Answer 404 to whoever comes without a good token: a stranger's body is not even read. ``asked_for`` knows the others'."""

    @room.before_request
    def check() -> None:
        with plane.store.session() as session:
            g.operation_id = tokens.look(session, (request.view_args or {}).get("token", ""), plane.clock).id


def asked_for() -> str:
    """Identifier of the operation whose token the request came with, when it came."""
    return str(g.operation_id)


def operation_of(session: Session, token: str, clock: Clock, *, lock: bool = False) -> Operation:
    """The operation of an agent that is awaited or at work; after its last step it has nothing to say any more.

    ``lock``: it is written to, see ``tokens.find``.

    Raises ``NotFound``.
    """
    operation = tokens.find(session, token, clock, lock=lock)
    if operation.kind not in job.STEPS or not OPERATIONS[operation.kind].phase(operation.phase or "").netboot:
        raise NotFound("not_found", "There is nothing here.")
    return operation


def sign_of_life(plane: Plane, session: Session, operation: Operation, data: dict[str, Any]) -> None:
    """Tell the engine that the agent works.

    While a script is under way that may reboot the machine, silence is allowed for as long as booting takes.
    """
    plane.engine.signal(session, operation, Signal.PROGRESS, data)
    if operation.deadline is not None and script_runs.may_reboot_now(session, operation):
        patience = plane.settings.deadlines.netboot
        operation.deadline = max(operation.deadline, plane.clock() + timedelta(seconds=patience))
