# SPDX-License-Identifier: GPL-3.0-or-later
"""What the event log says in numbers: operations by their end, failures by their code, how long phases take.

Counting rows when ``/metrics`` is asked would cost more with every operation, and counters would fall when old ones are removed.
So the log is followed by a cursor: each event is added to the tallies once, in the transaction that moves the cursor. Any number
of workers may do so; one at a time does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from datetime import datetime

from sqlalchemy import func, select
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
    with store.write() as session:
        follower = session.scalar(select(Follower).where(Follower.name == FOLLOWER).with_for_update(skip_locked=True))
        if follower is None:
            if cursor is not None:
                return  # another worker is at it
            follower = Follower(name=FOLLOWER, cursor=0)
            session.add(follower)
        settled = horizon(session)
        events = read(session, follower.cursor, BATCH, Event.kind.in_([_PHASE, _UNREACHABLE, *_RESULTS]))
        counts: Counter[tallies.Key] = Counter()
        for event in events:
            _count(session, event, counts)
        tallies.add(session, counts)
        follower.cursor = events[-1].id if len(events) == BATCH else max(settled, events[-1].id if events else 0)


def _count(session: Session, event: Event, counts: Counter[tallies.Key]) -> None:
    if event.kind == _UNREACHABLE:
        counts[tallies.key("power_unreachable", code=str(event.data.get("code", "")))] += 1
        return
    operation = str(event.data.get("kind", ""))
    if event.kind in _RESULTS:
        counts[tallies.key("operations", operation=operation, result=_RESULTS[event.kind])] += 1
    if event.kind == "operation.failed":
        code = str(event.data.get("code", ""))
        counts[tallies.key("operation_failures", operation=operation, code=code)] += 1
    before = session.scalar(
        select(Event)
        .where(Event.operation_id == event.operation_id, Event.kind == _PHASE, Event.id < event.id)
        .order_by(Event.id.desc())
        .limit(1)
    )
    if before is not None:
        _observe(counts, operation, str(before.data.get("phase", "")), (event.at - before.at).total_seconds())


def _observe(counts: Counter[tallies.Key], operation: str, phase: str, seconds: float) -> None:
    bound = BUCKETS[bisect_left(BUCKETS, seconds)]
    counts[tallies.key("phase_seconds_bucket", operation=operation, phase=phase, le=str(bound))] += 1
    counts[tallies.key("phase_seconds_sum", operation=operation, phase=phase)] += max(seconds, 0)  # type: ignore[assignment]
