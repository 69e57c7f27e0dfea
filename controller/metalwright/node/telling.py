# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines add to the event log: all that an operation needs, and not without end.

Who holds a token may call as often as it likes, and much of what it says is worth an event. One that has caused more than any
agent or cloud-init does is broken or hostile: its operation fails, and with it its token.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from metalwright.node.plane import Plane
from metalwright.store.events import record
from metalwright.store.models import Operation


def tell(
    plane: Plane,
    session: Session,
    operation: Operation,
    kind: str,
    message: str,
    data: dict[str, Any] | None = None,
    *,
    at: datetime | None = None,
) -> None:
    """Add an event of the machine that an operation is for; the operation fails when there are too many."""
    if not has_ended_of_talk(plane, session, operation):
        operation.told += 1
        record(session, kind, message, operation=operation, data=data, at=at or plane.clock())


def has_ended_of_talk(plane: Plane, session: Session, operation: Operation) -> bool:
    """Whether the operation has failed, just now or before, because of how much its machine says."""
    if operation.state == "running" and is_full(plane, operation):
        most = plane.settings.limits.operation_events
        message = f"{operation.machine.name} has caused {most} events since {operation.kind} began, as many as it may"
        plane.engine.fail(session, operation, {"code": "too_many_events", "message": message})
    return operation.state != "running"


def is_full(plane: Plane, operation: Operation) -> bool:
    """Whether the machine has caused as many events as it may since the operation began."""
    return operation.told >= plane.settings.limits.operation_events
