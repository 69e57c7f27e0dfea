# SPDX-License-Identifier: GPL-3.0-or-later
"""The event log: what happened, when, to which machine."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from metalwright.store.base import utcnow
from metalwright.store.models import Event, Machine, Operation


def record(
    session: Session,
    kind: str,
    message: str,
    *,
    machine: Machine | None = None,
    operation: Operation | None = None,
    data: dict[str, Any] | None = None,
    at: datetime | None = None,
) -> Event:
    """Add an event to the log in the caller's transaction: it is there exactly if what it tells of is.

    ``message`` is for people and is cut at 1,024 characters; ``data`` is for programs and holds no secret.
    """
    if machine is None and operation is not None:
        machine = operation.machine
    event = Event(
        at=at or utcnow(),
        kind=kind,
        message=message[:1024],
        machine_id=machine.id if machine else None,
        machine_name=machine.name if machine else None,
        operation_id=operation.id if operation else None,
        data=data or {},
    )
    session.add(event)
    return event
