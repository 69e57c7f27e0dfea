# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines add to the event log: all that an operation needs, and not without end.

Who holds a token may call as often as it likes, and much of what it says is worth an event. One that has caused more than any
agent or cloud-init does is broken or hostile: its operation fails, and with it its token.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from metalwright.node.plane import Plane
from metalwright.store.events import record
from metalwright.store.models import Event, Operation


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
        record(session, kind, message, operation=operation, data=data, at=at or plane.clock())


def has_ended_of_talk(plane: Plane, session: Session, operation: Operation) -> bool:
    """Whether the operation has failed, just now or before, because of how much its machine says."""
    if operation.state == "running" and is_full(plane, session, operation):
        most = plane.settings.limits.operation_events
        message = f"{operation.machine.name}: there are {most} events since {operation.kind} began, as many as there may be"
        plane.engine.fail(session, operation, {"code": "too_many_events", "message": message})
    return operation.state != "running"


def is_full(plane: Plane, session: Session, operation: Operation) -> bool:
    """Whether as many events as may be tell of the machine since the operation began: of the operation or not."""
    most = plane.settings.limits.operation_events
    session.flush()
    since = (Event.machine_id == operation.machine_id, Event.at >= operation.created_at)
    first = select(Event.id).where(*since).limit(most).subquery()
    return (session.scalar(select(func.count()).select_from(first)) or 0) >= most
