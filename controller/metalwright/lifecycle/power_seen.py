# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down of a machine's power after its driver was asked: the state, or why it could not be asked."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from metalwright.errors import MetalwrightError
from metalwright.power import PowerState
from metalwright.store.events import record
from metalwright.store.models import Machine, Operation


def reached(session: Session, machine: Machine, state: PowerState, now: datetime, *, operation: Operation | None = None) -> None:
    """The driver answered. An event says so only if it did not the last time."""
    if machine.power_failure is not None:
        message = f"{machine.name}: its power driver {machine.power_driver} answers again"
        data = {"driver": machine.power_driver, "was": machine.power_failure["code"]}
        record(session, "power.reachable", message, machine=machine, operation=operation, data=data, at=now)
    machine.power_failure = None
    machine.power_state = str(state)
    machine.power_checked_at = now


def not_reached(
    session: Session, machine: Machine, error: MetalwrightError, now: datetime, *, operation: Operation | None = None
) -> None:
    """The driver could not be asked; the state stays what was seen last. An event says so the first time, and when the cause
    changes."""
    before = (machine.power_failure or {}).get("code")
    machine.power_failure = {"code": error.code, "message": error.message, "hint": error.hint, "at": now.isoformat()}
    if before != error.code:
        data = {"driver": machine.power_driver, "code": error.code, "hint": error.hint}
        record(session, "power.unreachable", error.message, machine=machine, operation=operation, data=data, at=now)


def changed_by_itself(session: Session, machine: Machine, state: PowerState, now: datetime) -> None:
    """A poll has seen another state than the last call or poll: a person pressed the button, or the power failed."""
    before = machine.power_state
    if PowerState.UNKNOWN in (before, state) or before == state:
        return
    message = f"{machine.name} was {before} and is {state} now, and not by an operation"
    data = {"driver": machine.power_driver, "state": str(state), "was": before, "by_itself": True}
    record(session, "power.changed", message, machine=machine, data=data, at=now)
