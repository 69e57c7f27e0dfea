# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: tasks are enqueued in the transaction that needs them and carried out at least once by whichever worker is free.

A worker claims a task with a lease and a fencing number. When it dies, the lease runs out and another claims the task; what the
first one then still says carries an old number and is refused. So an effect may happen twice, and every effect is idempotent.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, bindparam, exists, func, literal, or_, select, union_all, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from metalwright.store import Store
from metalwright.store.base import utcnow
from metalwright.store.models import Machine, Operation, Task
from metalwright.store.turns import one_at_a_time

MAX_ATTEMPTS = 10
"""How often a task is begun before it is given up. Its worker may have died through no fault of the task."""
PER_LANE = 2
"""Tasks of one lane that are carried out at once, where nothing else is said."""
CLAIMS = 0x6D77_636C
"""Number of the lock of PostgreSQL under which tasks are claimed; any that nobody else uses in the same database."""
LONGEST_PAUSE = 8.0
"""Seconds between two tries of what a part of the controller was not there for, at most."""


def enqueue(
    session: Session,
    kind: str,
    payload: dict[str, Any],
    *,
    machine: Machine | None = None,
    operation: Operation | None = None,
    max_attempts: int = MAX_ATTEMPTS,
    now: datetime | None = None,
) -> Task:
    """Add an effect to the outbox. Its end is told to ``operation`` while that is still in the phase it is in now.

    A power call goes in the lane of the machine's BMC, so that no more than a few are made there at once.
    """
    moment = now or utcnow()
    task = Task(
        kind=kind,
        payload=payload,
        machine_id=machine.id if machine else None,
        operation_id=operation.id if operation else None,
        phase=operation.phase if operation else None,
        lane=machine.power_lane if machine and kind.startswith("power.") else None,
        max_attempts=max_attempts,
        run_at=moment,
        created_at=moment,
    )
    session.add(task)
    return task


def try_again(task: Task, now: datetime) -> bool:
    """Put a task back that could not be done just now; False when it was tried often enough."""
    if task.attempt >= task.max_attempts:
        return False
    task.state = "pending"
    task.lease_until = None
    task.run_at = now + timedelta(seconds=min(2.0 ** (task.attempt - 1), LONGEST_PAUSE))
    return True


def cancel(session: Session, operation: Operation, now: datetime) -> None:
    """Take back what the operation has in the outbox and nobody has begun."""
    session.execute(
        update(Task)
        .where(Task.operation_id == operation.id, Task.state == "pending")
        .values(state="cancelled", ended_at=now)
        .execution_options(synchronize_session=False)
    )


@dataclass(frozen=True)
class Claimed:
    """A task that this worker holds: nobody else does while the lease is renewed."""

    id: int
    kind: str
    payload: dict[str, Any]
    machine_id: str | None
    operation_id: str | None
    phase: str | None
    fence: int
    lost: bool = False
    """Its workers died so often over it that it is not to be tried again, only to be written down as failed."""


def in_line(now: datetime) -> ColumnElement[bool]:
    """Of an operation: the effect of its phase has not begun, or its worker has died over it. Deadlines do not run meanwhile."""
    left = (Task.state == "running") & (Task.begun.is_(False) | (Task.lease_until < now))
    return exists().where(Task.operation_id == Operation.id, Task.phase == Operation.phase, (Task.state == "pending") | left)


def begins(session: Session, claimed: Claimed) -> bool:
    """Note that the worker begins with what it claimed; False when it may not, for another has claimed it since."""
    mine = (Task.id == claimed.id, Task.fence == claimed.fence, Task.state == "running")
    noted = session.execute(update(Task).where(*mine).values(begun=True).execution_options(synchronize_session=False))
    return bool(noted.rowcount)  # type: ignore[attr-defined]


def claim(
    store: Store, owner: str, now: datetime, lease: float, *, without: Collection[str] = (), per_lane: int = PER_LANE
) -> Claimed | None:
    """Take the oldest task that is due, one whose owner's lease ran out before others; None when there is none.

    ``without``: kinds that are not wanted now. One task of a machine at a time: the power-off of an abort must not overtake the
    power-on of what comes after it. And ``per_lane`` of one lane at a time, at most.
    """
    wished = {"now": now, "without": list(without), "per_lane": per_lane}
    with store.session() as session:
        found = session.scalars(_LOOK, wished).all()  # looking needs no write lock
    if not found:
        return None
    hold = {"new_owner": owner, "until": now + timedelta(seconds=lease)}
    with store.write() as session:
        one_at_a_time(session, CLAIMS)
        for which in found:
            task = session.execute(_TAKE[which], wished | hold).one_or_none()
            if task is not None:
                lost = task.attempt > task.max_attempts
                return Claimed(
                    task.id, task.kind, task.payload, task.machine_id, task.operation_id, task.phase, task.fence, lost=lost
                )
    return None


def _due(which: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition for tasks of ``which`` that may be begun."""
    other = _TABLE.alias()
    held = (other.c.state == "running") & (other.c.lease_until >= _NOW)
    busy = select(other.c.machine_id).where(held, other.c.machine_id.is_not(None))
    full = select(other.c.lane).where(held, other.c.lane.is_not(None)).group_by(other.c.lane)
    full = full.having(func.count() >= bindparam("per_lane"))
    task = _TABLE.c
    free = or_(task.machine_id.is_(None), task.machine_id.not_in(busy)) & or_(task.lane.is_(None), task.lane.not_in(full))
    return which & free & task.kind.not_in(bindparam("without", expanding=True))


def _take(which: ColumnElement[bool]) -> ReturningUpdate[Any]:
    task = _TABLE.c
    oldest = select(task.id).where(_due(which)).order_by(task.run_at, task.id).limit(1).with_for_update(skip_locked=True)
    taken = {"state": "running", "owner": bindparam("new_owner"), "lease_until": bindparam("until", type_=task.lease_until.type)}
    counted = {"begun": False, "attempt": task.attempt + 1, "fence": task.fence + 1}
    statement = update(_TABLE).where(task.id == oldest.scalar_subquery()).values(taken | counted)
    shown = (task.id, task.kind, task.payload, task.machine_id, task.operation_id, task.phase, task.fence)
    return statement.returning(*shown, task.attempt, task.max_attempts)


# Put together once, for that takes longer than to ask the database. Two conditions, not one with "or": by each alone the oldest
# is the first of the index, however many wait.
_TABLE = cast(Table, Task.__table__)
_NOW = bindparam("now", type_=_TABLE.c.run_at.type)
_LAPSED = (_TABLE.c.state == "running") & (_TABLE.c.lease_until < _NOW)
_PENDING = (_TABLE.c.state == "pending") & (_TABLE.c.run_at <= _NOW)
_CLAIMABLE = {"lapsed": _LAPSED, "pending": _PENDING}
_LOOK = union_all(*(select(literal(name)).where(exists().where(_due(which))) for name, which in _CLAIMABLE.items()))
_TAKE = {name: _take(which) for name, which in _CLAIMABLE.items()}


def renew(store: Store, claimed: Claimed, now: datetime, lease: float) -> bool:
    """Hold a task for longer; False when it is no longer ours."""
    with store.write() as session:
        result = session.execute(
            update(Task)
            .where(Task.id == claimed.id, Task.fence == claimed.fence, Task.state == "running")
            .values(lease_until=now + timedelta(seconds=lease))
            .execution_options(synchronize_session=False)
        )
        return bool(result.rowcount)  # type: ignore[attr-defined]
