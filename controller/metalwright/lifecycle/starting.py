# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an operation may start on a machine now."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.lifecycle.deploy import check_not_adopted
from metalwright.lifecycle.operations import OPERATIONS, OperationKind
from metalwright.lifecycle.states import State, way_on
from metalwright.store.models import Machine, Operation


def check_may_start(session: Session, machine: Machine, kind: OperationKind, parameters: dict[str, Any]) -> None:
    """Raise ``Conflict`` unless the operation may start now: see ``Engine.start``."""
    check_idle(session, machine)
    if machine.locked:
        raise Conflict("machine_locked", f"{machine.name} is locked.", "Unlock it first.", machine=machine.name)
    if machine.state not in kind.allowed:
        allowed = ", ".join(sorted(kind.allowed))
        raise Conflict(
            "wrong_state",
            f"{machine.name} is {machine.state}; {kind.label} starts from: {allowed}.",
            way_on(machine.state, machine.name),
            state=machine.state,
            machine=machine.name,
        )
    if kind.name in ("deploy", "release") and not parameters.get("wipe_adopted"):
        check_not_adopted(machine, kind.label)
    if kind.name == "deploy" and machine.state == State.DEPLOYED and not parameters.get("redeploy"):
        raise Conflict(
            "wrong_state",
            f"{machine.name} is deployed already; deploying again wipes it.",
            "Release it first, or say that it may be wiped: on_drift=redeploy, as an option --redeploy.",
            state=machine.state,
            machine=machine.name,
        )
    if kind.name == "deploy" and machine.hardware is None:
        raise Conflict(
            "wrong_state",
            f"{machine.name} was never commissioned, so its disks are unknown.",
            "Commission it first.",
            state=machine.state,
            machine=machine.name,
        )


def check_idle(session: Session, machine: Machine) -> None:
    """Raise ``Conflict`` (``machine_busy``) naming the operation under way."""
    if machine.operation_id is None:
        return
    running = session.get(Operation, machine.operation_id)
    name = OPERATIONS[running.kind].label if running else "operation"
    where = f", in {running.phase}" if running and running.phase else ""
    raise Conflict(
        "machine_busy",
        f"{machine.name} is busy: {name} ({machine.operation_id}) is under way{where}.",
        f"Wait for it, or abort it: metalwright operation abort {machine.operation_id}",
        operation=machine.operation_id,
        kind=running.kind if running else None,
        machine=machine.name,
    )
