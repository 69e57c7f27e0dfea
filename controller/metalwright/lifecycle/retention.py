# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes what is older than the settings say: tasks that have ended, events, operations; and files of images that nothing needs.

Once an hour, in small batches.

A batch a second is a short transaction that holds nobody up. What is kept although it is old: the events of operations under way,
events that a follower of the log has not read, and the newest operations of every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import groupby, islice

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.lifecycle import contents
from metalwright.lifecycle.ending import LIVE
from metalwright.lifecycle.webhooks import give_up, matching
from metalwright.store import Store
from metalwright.store.models import Event, Follower, Machine, Operation, Task, Webhook

EVERY = timedelta(hours=1)
BATCH = 500
"""Rows looked at or removed in one transaction, about."""
MACHINES = 50
"""Machines whose operations are looked at in one go."""
NEWEST = 10
"""Operations of a machine that are kept however old they are."""

Stage = Callable[[datetime, str], str | None]
"""Removes a batch. Given where the one before stopped (at first ""), returns where it stopped, or None at the end."""


class Retention:
    """A chore of the worker. Where it stands is in memory only: a new process begins from the start."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._keep = settings.retention
        self._settings = settings
        self._stages: tuple[Stage, ...] = (self._tasks, self._events, self._operations, self._files)
        self._stage = 0
        self._place = ""
        self._next: datetime | None = None

    def sweep(self, now: datetime) -> None:
        """Remove a batch, if it is time or the last sweep is not over."""
        if self._next is not None and now < self._next:
            return
        place = self._stages[self._stage](now, self._place)
        if place is not None:
            self._place = place
            return
        self._stage, self._place = (self._stage + 1) % len(self._stages), ""
        if self._stage == 0:
            self._next = now + EVERY

    def _tasks(self, now: datetime, _place: str) -> str | None:
        before = now - timedelta(days=self._keep.tasks_days)
        ended = Task.state.in_(("done", "failed", "cancelled")) & (Task.run_at < before) & (Task.ended_at < before)
        with self._store.session() as session:
            old = session.scalars(select(Task.id).where(ended).limit(BATCH)).all()
        if old:
            with self._store.write() as session:
                session.execute(delete(Task).where(Task.id.in_(old)))
        return "more" if len(old) == BATCH else None

    def _events(self, now: datetime, place: str) -> str | None:
        """From the oldest on, as far as they are old: ``at`` has no index, but goes with the number."""
        before = now - timedelta(days=self._keep.events_days)
        with self._store.session() as session:
            read_by_all = session.scalar(select(func.min(Follower.cursor)))
            after = select(Event.id, Event.at, Event.operation_id).where(Event.id > int(place or 0))
            if read_by_all is not None:
                after = after.where(Event.id <= read_by_all)
            page = session.execute(after.order_by(Event.id).limit(BATCH)).all()
            named = {event.operation_id for event in page if event.operation_id}
            live = set(session.scalars(select(Operation.id).where(Operation.id.in_(named), Operation.state.in_(LIVE))))
        old = [event.id for event in page if event.at < before and event.operation_id not in live]
        if old:
            with self._store.write() as session:
                self._pass_over(session, old[-1], before, now)
                session.execute(delete(Event).where(Event.id.in_(old)))
        whole = len(page) == BATCH and page[-1].at < before
        return str(page[-1].id) if whole else None

    def _pass_over(self, session: Session, removed: int, before: datetime, now: datetime) -> None:
        """Webhooks that were down or disabled for so long that what they wait for is removed: they go on after it, and say so."""
        for hook in session.scalars(select(Webhook).where(Webhook.cursor < removed).order_by(Webhook.id).with_for_update()):
            late = (Event.id > hook.cursor, Event.at < before, matching(hook.events))
            last, count = session.execute(select(func.max(Event.id), func.count()).where(*late)).one()
            hook.cursor = max(removed, last or 0)
            if count and not hook.given_up:
                give_up(session, hook, count, f"{self._keep.events_days} days: events are not kept for longer", now)
            hook.given_up += count

    def _operations(self, now: datetime, place: str) -> str | None:
        before = now - timedelta(days=self._keep.operations_days)
        old: list[str] = []
        with self._store.session() as session:
            machines = session.scalars(select(Machine.id).where(Machine.id > place).order_by(Machine.id).limit(MACHINES)).all()
            columns = select(Operation.id, Operation.machine_id, Operation.ended_at).where(Operation.machine_id.in_(machines))
            newest_first = columns.order_by(Operation.machine_id, Operation.created_at.desc(), Operation.id)
            for _, operations in groupby(session.execute(newest_first), key=lambda operation: operation.machine_id):
                beyond = islice(operations, NEWEST, None)
                old += [operation.id for operation in beyond if operation.ended_at and operation.ended_at < before]
        if old:
            with self._store.write() as session:
                session.execute(delete(Operation).where(Operation.id.in_(old[:BATCH])))
        if len(old) > BATCH:
            return place  # the rest of these machines comes next
        return machines[-1] if len(machines) == MACHINES else None

    def _files(self, now: datetime, _place: str) -> str | None:
        contents.sweep(self._store, self._settings, now)
        return None
