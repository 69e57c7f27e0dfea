# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines' power drivers are asked now and then, so that what the controller shows is not what it once did but what is.

A poll goes through the outbox, so that it keeps to the lane of its BMC and never meets another call to the same machine; its
task is deleted when it has ended. It never changes a machine's state, and one with an operation under way is left alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.orm.attributes import flag_modified

from metalwright import power
from metalwright.config import Settings
from metalwright.errors import MetalwrightError
from metalwright.lifecycle.power_effects import QUERY
from metalwright.lifecycle.power_seen import changed_by_itself, not_reached, reached
from metalwright.lifecycle.tasks import Claimed, enqueue
from metalwright.lifecycle.worker import POWER_POLL, Handler
from metalwright.power import PowerState
from metalwright.store import Store
from metalwright.store.base import Clock, utcnow
from metalwright.store.models import Machine, Task

JITTER = 0.25
"""Share of the interval by which one is shorter or longer: polls of machines that were added together drift apart."""
_CHANCE = random.SystemRandom()
AT_ONCE = 20
"""Polls that are put into the outbox in one look: after a pause of the controller they are all due."""


class Polling:
    """Schedules and carries out polls. ``jitter`` gives a number between -1 and 1."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock = utcnow,
        jitter: Callable[[], float] = lambda: _CHANCE.uniform(-1, 1),
    ) -> None:
        self._every = settings.power.poll_seconds
        self._store = store
        self._clock = clock
        self._jitter = jitter

    def handlers(self) -> dict[str, Handler]:
        """Kind of task to what carries it out."""
        return {POWER_POLL: self.poll}

    def schedule(self, now: datetime) -> None:
        """Put a task into the outbox for the machines that are due, those that waited longest first."""
        if not self._every:
            return
        due = self._due(now)
        with self._store.session() as session:
            found = session.execute(
                select(Machine.id, Machine.power_poll_at).where(due).order_by(Machine.power_poll_at.nulls_first()).limit(AT_ONCE)
            ).all()
        if not found:
            return
        with self._store.write() as session:
            for machine_id, at in found:
                mine = Machine.power_poll_at == at if at else Machine.power_poll_at.is_(None)
                following = now + timedelta(seconds=self._every * (1 + JITTER * self._jitter()))
                taken = session.execute(
                    update(Machine)
                    .where(Machine.id == machine_id, mine, Machine.operation_id.is_(None))
                    .values(power_poll_at=following, updated_at=Machine.updated_at)
                    .execution_options(synchronize_session=False)
                )
                if taken.rowcount:  # type: ignore[attr-defined]
                    enqueue(session, POWER_POLL, {}, machine=session.get_one(Machine, machine_id), now=now)

    def _due(self, now: datetime) -> ColumnElement[bool]:
        answering = [name for name, driver in power.drivers().items() if driver.answers]
        waiting = exists().where(Task.machine_id == Machine.id, Task.kind == POWER_POLL, Task.state.in_(("pending", "running")))
        return (
            or_(Machine.power_poll_at.is_(None), Machine.power_poll_at <= now)
            & Machine.power_driver.in_(answering)
            & Machine.operation_id.is_(None)
            & ~waiting
        )

    def poll(self, task: Claimed) -> None:
        """Ask one machine's driver and write down what it said."""
        with self._store.session() as session:
            machine = session.get(Machine, task.machine_id)
        if machine is None or machine.operation_id is not None:
            self._forget(task)
            return
        state, failure = PowerState.UNKNOWN, None
        try:
            state = power.create(machine.power_driver, machine.power_parameters, QUERY).query()
        except MetalwrightError as error:
            failure = error
            failure.message = f"{machine.name}: {error.message}"
        with self._store.write() as session:
            stored = session.get(Machine, machine.id, with_for_update={"of": Machine})
            if stored is not None and stored.operation_id is None and _same(stored, machine):
                if failure is not None:
                    not_reached(session, stored, failure, self._clock())
                elif state in (PowerState.ON, PowerState.OFF):
                    changed_by_itself(session, stored, state, self._clock())
                    reached(session, stored, state, self._clock())
                flag_modified(stored, "updated_at")  # as it was: nobody has changed the machine
        self._forget(task)

    def _forget(self, task: Claimed) -> None:
        with self._store.write() as session:
            session.execute(delete(Task).where(Task.id == task.id, Task.fence == task.fence))


def _same(stored: Machine, asked: Machine) -> bool:
    """Whether neither the driver was changed nor an operation began and ended while it was asked."""
    return (stored.power_driver, stored.power_parameters, stored.power_checked_at) == (
        asked.power_driver,
        asked.power_parameters,
        asked.power_checked_at,
    )
