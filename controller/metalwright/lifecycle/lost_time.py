# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done about time that nobody could use: controllers or database were away, a host slept, its clock was put right.

A deadline is a moment of the clock. If it passed while nobody was there to hear the machine, or because the clock has jumped, one
would be failed that has done nothing wrong. So a row says when operations were minded last, by whichever worker. One that begins,
or was held up, or sees its clock jump (how long a process has run does not: CLOCK_MONOTONIC, time(7)) looks there how much time
was lost to all, and moves deadlines on by that, but never further ahead than they could be put now: so nothing waits for ever,
nor for a time that was taken back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from metalwright.lifecycle import tasks
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.held import WITHOUT_INVENTORY
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.lifecycle.power_polling import JITTER
from metalwright.lifecycle.script_runs import may_reboot_now
from metalwright.store import Store
from metalwright.store.models import Machine, Minding, Operation, Task, Webhook

log = structlog.get_logger()

BORNE = timedelta(seconds=10)
"""A pause, or a step of the clock, that deadlines bear; a busy process that is not scheduled for so long has lost nothing."""
NOTED = 3.0
"""Seconds after which it is noted again that operations are minded."""


class _Moment(NamedTuple):
    at: datetime
    passed: float
    """Seconds of the clock that never jumps."""


class LostTime:
    """For one worker. ``lease``: seconds of a task's lease. ``monotonic``: seconds of a clock that never jumps."""

    def __init__(self, store: Store, engine: Engine, lease: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._engine = engine
        self._lease = timedelta(seconds=lease)
        self._monotonic = monotonic
        self._last: _Moment | None = None
        """When this worker minded operations last; None: not since it began."""
        self._noted = 0.0
        self._ahead: _Moment | None = None
        """A moment noted that lies ahead, and since when it is known."""

    def make_up(self) -> None:
        """Give back what was lost since the last time; the worker calls it before it looks whose deadline has passed.

        What goes wrong with the database is raised, and nobody is late then: how much was lost is seen when it is there again.
        """
        now = _Moment(self._engine.clock(), self._monotonic())
        last = self._last or now
        pause = timedelta(seconds=now.passed - last.passed)
        step = now.at - last.at - pause
        returns = self._last is None or max(pause, abs(step)) > BORNE
        if returns or (now.passed - self._noted >= NOTED and self._is_to_be_noted()):
            with self._store.write() as session:
                self._note(session, now, step, returns=returns)
            self._noted = now.passed
        self._last = now

    def _is_to_be_noted(self) -> bool:
        """Whether anything is under way: a controller that has nothing to do writes nothing."""
        running = or_(exists().where(Operation.state == "running"), exists().where(Task.state == "running"))
        with self._store.session() as session:
            return self._ahead is not None or bool(session.scalar(select(running)))

    def _note(self, session: Session, now: _Moment, step: timedelta, *, returns: bool) -> None:
        row = session.get(Minding, 1, with_for_update=True)  # who returns at the same moment waits, and finds nothing lost
        if row is None:
            row = Minding(at=now.at)
            session.add(row)
        lost = now.at - (max(row.at, self._last.at) if self._last else row.at)
        if step < -BORNE or self._was_put_back(row.at, now):
            log.warning("the clock was put back", to=now.at)
            self._give_back(session, now.at, timedelta())
        elif returns and lost > BORNE:
            lost = max(lost, step)
            log.warning("operations were not minded, or the clock was put forward", seconds=round(lost.total_seconds(), 1))
            self._give_back(session, now.at, lost)
        elif lost < -BORNE:
            return  # the other worker whose clock says so would find time lost that was not
        row.at = now.at

    def _was_put_back(self, noted: datetime, now: _Moment) -> bool:
        """Whether a moment was noted that lies ahead because the clock was put back while nobody minded.

        It may as well be another worker's, and this one's clock be wrong: then a later one is noted before long.
        """
        if noted <= now.at + BORNE:
            self._ahead = None
        elif self._ahead is None or self._ahead.at != noted:
            self._ahead = _Moment(noted, now.passed)
        return self._ahead is not None and timedelta(seconds=now.passed - self._ahead.passed) > BORNE

    def _give_back(self, session: Session, now: datetime, lost: timedelta) -> None:
        """Move what is under way on, but nothing further ahead than it could be put now."""
        running = select(Operation).options(WITHOUT_INVENTORY).where(Operation.state == "running").order_by(Operation.id)
        token = timedelta(seconds=self._engine.settings.deadlines.token)
        for operation in session.scalars(running.with_for_update(of=Operation)).all():
            try:
                latest = now + self._patience(session, operation)
            except Exception:
                log.exception("an operation could not be given back the time that was lost", operation=operation.id)
                continue
            if operation.deadline is not None:
                operation.deadline = min(operation.deadline + lost, latest)
            if operation.token_expires is not None:
                operation.token_expires = min(operation.token_expires + lost, max(latest, now + token))
        session.flush()
        pause, lease = timedelta(seconds=tasks.LONGEST_PAUSE), now + self._lease
        poll = now + timedelta(seconds=self._engine.settings.power.poll_seconds * (1 + JITTER))
        for statement in (
            update(Task).where(Task.state == "pending", Task.run_at > now + pause).values(run_at=now),
            update(Task).where(Task.state == "running", Task.lease_until > lease).values(lease_until=lease),
            update(Machine).where(Machine.power_poll_at > poll).values(power_poll_at=poll, updated_at=Machine.updated_at),
            update(Webhook).where(Webhook.retry_at > now).values(retry_at=now),
        ):
            session.execute(statement.execution_options(synchronize_session=False))

    def _patience(self, session: Session, operation: Operation) -> timedelta:
        """For how long nothing need be heard of an operation in its phase."""
        phase = OPERATIONS[operation.kind].phase(operation.phase or "")
        seconds = self._engine.seconds(operation, phase) + phase.grace
        if may_reboot_now(session, operation):
            seconds = max(seconds, self._engine.settings.deadlines.netboot)
        return timedelta(seconds=seconds)
