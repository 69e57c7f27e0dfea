# SPDX-License-Identifier: GPL-3.0-or-later
"""What the event log says in numbers: operations by their end, failures by their code, how long phases take.

Counting rows when ``/metrics`` is asked would cost more with every operation, and counters would fall when old ones are removed.
So the log is followed by a cursor: each event is added to the tallies once, in the transaction that moves the cursor. Any number
of workers may do so; one at a time does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from metalwright.store import Store, tallies
from metalwright.store.events import horizon, read
from metalwright.store.models import Event, Follower

FOLLOWER = "measures"
BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, float("inf"))
"""Upper bounds of the histogram of phases, seconds."""
BATCH = 500
"""Events that are added up in one transaction."""

_PHASE = "operation.phase"
_UNREACHABLE = "power.unreachable"
_RESULTS = {"operation.succeeded": "succeeded", "operation.failed": "failed", "operation.aborted": "aborted"}


def fold(store: Store, now: datetime) -> None:  # noqa: ARG001 - a chore is told the time
    """Add what has happened since the last time to the tallies, a batch at most."""
    with store.session() as session:
        cursor = session.scalar(select(Follower.cursor).where(Follower.name == FOLLOWER))
        newest = session.scalar(select(func.max(Event.id))) or 0
        if newest <= (cursor or 0):
            return
        settled = horizon(session)
        events = read(session, cursor or 0, BATCH, Event.kind.in_([_PHASE, _UNREACHABLE, *_RESULTS]))
        counts = _counted(events, _phases(session, events))
    last = events[-1].id if events else 0
    with store.write() as session:
        if _moves(session, cursor, last if len(events) == BATCH else max(settled, last)):
            tallies.add(session, counts)


def _moves(session: Session, cursor: int | None, to: int) -> bool:
    """Move the cursor from where it was read; False when another worker was first."""
    if cursor is None:
        with suppress(IntegrityError), session.begin_nested():
            session.add(Follower(name=FOLLOWER, cursor=to))
            session.flush()
            return True
        return False
    statement = update(Follower).where(Follower.name == FOLLOWER, Follower.cursor == cursor).values(cursor=to)
    changed = session.execute(statement.execution_options(synchronize_session=False))
    return bool(changed.rowcount)  # type: ignore[attr-defined]


def _phases(session: Session, events: Sequence[Event]) -> dict[str | None, list[Event]]:
    """The beginnings of phases of the operations that the events are about, in order."""
    found: dict[str | None, list[Event]] = {}
    operations = {event.operation_id for event in events}
    statement = select(Event).where(Event.operation_id.in_(operations), Event.kind == _PHASE).order_by(Event.id)
    for event in session.scalars(statement):
        found.setdefault(event.operation_id, []).append(event)
    return found


def _counted(events: Sequence[Event], phases: dict[str | None, list[Event]]) -> dict[tallies.Key, float]:
    counts: defaultdict[tallies.Key, float] = defaultdict(float)
    for event in events:
        operation, code = str(event.data.get("kind", "")), str(event.data.get("code", ""))
        if event.kind == _UNREACHABLE:
            counts[tallies.key("power_unreachable", code=code)] += 1
            continue
        if event.kind in _RESULTS:
            counts[tallies.key("operations", operation=operation, result=_RESULTS[event.kind])] += 1
        if event.kind == "operation.failed":
            counts[tallies.key("operation_failures", operation=operation, code=code)] += 1
        before = [phase for phase in phases.get(event.operation_id, ()) if phase.id < event.id]
        if before:
            labels = {"operation": operation, "phase": str(before[-1].data.get("phase", ""))}
            seconds = max((event.at - before[-1].at).total_seconds(), 0.0)
            bound = BUCKETS[bisect_left(BUCKETS, seconds)]
            counts[tallies.key("phase_seconds_bucket", **labels, le=str(bound))] += 1
            counts[tallies.key("phase_seconds_sum", **labels)] += seconds
    return counts
