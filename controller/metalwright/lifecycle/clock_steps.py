# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done when the host's clock is put right, or the host slept: nobody is late by that, and nothing waits for the old time.

Moments in the database are told by the clock, which may jump; how long this process has run is not (CLOCK_MONOTONIC, time(7)).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.lifecycle.tasks import LONGEST_PAUSE
from metalwright.store import Store
from metalwright.store.models import Operation, Task

log = structlog.get_logger()

SMALL = timedelta(seconds=5)
"""A step that deadlines bear; a busy process that is not scheduled for so long has made none."""


class ClockSteps:
    """A chore of the worker. ``lease``: seconds of a task's lease. ``monotonic``: seconds of a clock that never jumps."""

    def __init__(self, store: Store, settings: Settings, lease: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._deadlines = settings.deadlines
        self._lease = timedelta(seconds=lease)
        self._monotonic = monotonic
        self._last: tuple[datetime, float] | None = None

    def look(self, now: datetime) -> None:
        """Look whether the clock has jumped since the last look, and bring what is under way over to the new time."""
        passed = self._monotonic()
        last, self._last = self._last, (now, passed)
        if last is None:
            return
        step = now - last[0] - timedelta(seconds=passed - last[1])
        if abs(step) <= SMALL:
            return
        log.warning("the clock was stepped", seconds=round(step.total_seconds(), 1))
        with self._store.write() as session:
            if step > timedelta():
                self._forward(session, step)
            else:
                self._backward(session, now)

    def _forward(self, session: Session, step: timedelta) -> None:
        """Deadlines go with the clock. Where several controllers do this, patience grows; nothing is lost by that."""
        for operation in self._running(session):
            if operation.deadline is not None:
                operation.deadline += step
            if operation.token_expires is not None:
                operation.token_expires += step

    def _backward(self, session: Session, now: datetime) -> None:
        """Nothing lies further ahead than it could have been put now: the same, however many controllers do this."""
        for operation in self._running(session):
            if operation.deadline is not None and operation.phase is not None:
                within = getattr(self._deadlines, OPERATIONS[operation.kind].phase(operation.phase).within)
                operation.deadline = min(operation.deadline, now + timedelta(seconds=within))
        farthest = now + timedelta(seconds=LONGEST_PAUSE)
        waiting = update(Task).where(Task.state == "pending", Task.run_at > farthest).values(run_at=now)
        held = update(Task).where(Task.state == "running", Task.lease_until > now + self._lease)
        for statement in (waiting, held.values(lease_until=now + self._lease)):
            session.execute(statement.execution_options(synchronize_session=False))

    def _running(self, session: Session) -> list[Operation]:
        chosen = select(Operation).where(Operation.state == "running").order_by(Operation.id)
        return list(session.scalars(chosen.with_for_update(of=Operation)))
