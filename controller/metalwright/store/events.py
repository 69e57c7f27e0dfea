# SPDX-License-Identifier: GPL-3.0-or-later
"""The event log: what happened, when, to which machine; and how it is read in order without missing anything.

An event's ``id`` is the cursor of every reader, so an id must never appear after a larger one was read. SQLite has one writer at
a time. On PostgreSQL ids are taken before their transactions commit; ``horizon`` says up to where nothing more can appear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from metalwright.store.base import utcnow
from metalwright.store.models import Event, Machine, Operation

_LAST_TAKEN = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_id_seq")
_IN_FLIGHT = text(
    "SELECT min(((classid::bigint << 32) | objid::bigint) & ((1::bigint << 48) - 1)) FROM pg_locks WHERE locktype = 'advisory' "
    "AND objsubid = 1 AND classid::bigint >> 16 = x'4D57'::bigint "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
"""The locks that the trigger ``event_in_flight`` takes (migration 0001): the last id before those of each open transaction."""


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
        message=storable(message)[:1024],
        machine_id=machine.id if machine else None,
        machine_name=machine.name if machine else None,
        operation_id=operation.id if operation else None,
        data=storable(data or {}),
    )
    session.add(event)
    return event


def storable(value: Any) -> Any:
    """The value as JSON that every database and every reader takes.

    Texts and names are without NUL, which PostgreSQL refuses, and without lone surrogates, which are no UTF-8;
    numbers that are not finite, which are no JSON (RFC 8259, 6), are None.
    """
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "ignore").decode()
    if isinstance(value, dict):
        return {storable(str(name)): storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def horizon(session: Session) -> int:
    """The id up to which the log is settled: every event up to it that will ever be there is visible to the next statement.

    On PostgreSQL, in this order: the last id taken, then the ids before those of transactions still open. Who took an id up to
    the first has either said so before taking it, and is seen by the second, or has ended, and is visible. A transaction releases
    its locks after it has become visible, and the next statement sees everything that was visible when it began (READ COMMITTED).
    """
    if session.get_bind().dialect.name != "postgresql":
        return session.scalar(select(func.max(Event.id))) or 0
    last: int = session.scalar(_LAST_TAKEN) or 0
    before_open: int | None = session.scalar(_IN_FLIGHT)
    return last if before_open is None else min(last, before_open)


def read(session: Session, after: int, limit: int, *conditions: ColumnElement[bool]) -> Sequence[Event]:
    """The events after a cursor that fit all conditions, in order, at most ``limit``. None is ever skipped."""
    statement = select(Event).where(Event.id > after, *conditions).order_by(Event.id).limit(limit)
    if session.get_bind().dialect.name == "postgresql":
        if session.scalar(statement.with_only_columns(Event.id).limit(1)) is None:
            return ()
        statement = statement.where(Event.id <= horizon(session))
    return session.scalars(statement).all()


def as_dict(event: Event) -> dict[str, Any]:
    """An event as everybody outside is shown it: ``id, at, kind, message, machine, operation, data``."""
    return {
        "id": event.id,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "message": event.message,
        "machine": {"id": event.machine_id, "name": event.machine_name or ""} if event.machine_id else None,
        "operation": event.operation_id,
        "data": event.data,
    }
