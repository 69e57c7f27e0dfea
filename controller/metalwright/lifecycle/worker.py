# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: carries out the outbox's tasks in threads and reaps deadlines. Any number of them may run."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from metalwright.errors import MetalwrightError, Unavailable
from metalwright.images import catalogue
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.held import take
from metalwright.lifecycle.network_effects import APPLY
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.tasks import Claimed, begins, claim, renew, try_again
from metalwright.store import Store
from metalwright.store.collisions import DatabaseTrouble, passing
from metalwright.store.events import record
from metalwright.store.models import Image, Machine, Operation, Task

log = structlog.get_logger()

IMPORT = "image.import"
DELIVER = "webhook.deliver"
POWER_POLL = "power.poll"
PLAYBOOK = "playbook.run"

_SIGNALS = {PLAYBOOK: (Signal.PLAYBOOK_DONE, Signal.PLAYBOOK_FAILED)}
"""What an operation is told of the end of an effect, where it is no power call."""

TELL_THEMSELVES = frozenset({IMPORT, DELIVER, POWER_POLL})
"""Kinds of tasks that keep elsewhere what they failed of: with the image, the webhook, the machine."""

Handler = Callable[[Claimed], None]
"""Carries out an effect; raises ``MetalwrightError`` when it can not be done."""

Chore = Callable[[datetime], None]
"""Something small that is looked at once a second, in a transaction of its own."""


class Worker:
    """Carries out tasks in threads, tells operations how they ended, renews leases and reaps deadlines."""

    LEASE = 9.0
    """Seconds until a dead worker's task is taken over; renewed when it is half gone."""
    POLL = 0.15
    """Seconds between two looks at an empty outbox."""
    AFTER_TROUBLE = 1.0
    """Seconds until the outbox is looked at again when the database did not let it be."""
    TRIES = 3
    """How often it is tried to write down how a task ended, where the database is in the way."""
    WEBHOOK_THREADS = 8
    """Threads beside the others: however slow the servers of webhooks are, operations do not wait for them. So it is with
    playbooks, which take minutes."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        handlers: Mapping[str, Handler],
        *,
        owner: str,
        threads: int,
        chores: Sequence[Chore] = (),
        before_reaping: Callable[[], None] = lambda: None,
    ) -> None:
        """``before_reaping`` is called once a second; when it raises, no deadline is reaped."""
        self.store = store
        self.engine = engine
        self.handlers = handlers
        self.owner = owner
        self.threads = threads
        self.beside = {DELIVER: self.WEBHOOK_THREADS, PLAYBOOK: engine.settings.limits.playbooks}
        self.chores = chores
        self.before_reaping = before_reaping
        self._running: dict[Future[None], Claimed] = {}
        self._renewed: dict[int, datetime] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; tasks under way are finished first. What fails is logged and tried again."""
        threads = self.threads + sum(self.beside.values())
        with ThreadPoolExecutor(threads, thread_name_prefix="task") as pool:
            next_minding = time.monotonic()
            while not stop.is_set():
                self._running = {future: task for future, task in self._running.items() if not future.done()}
                now = self.engine.clock()
                if time.monotonic() >= next_minding:
                    self.mind(now)
                    next_minding = time.monotonic() + 1
                try:
                    claimed = self._claim(now) if len(self._running) < threads else None
                except Exception:
                    log.exception("claiming a task failed")
                    stop.wait(self.AFTER_TROUBLE)
                    continue
                if claimed is None:
                    stop.wait(self.POLL)
                else:
                    self._renewed[claimed.id] = now
                    self._running[pool.submit(self.carry_out, claimed)] = claimed

    def _claim(self, now: datetime) -> Claimed | None:
        """The next task; imports of images leave room for the power calls, which are short, and polls for those of operations."""
        running = Counter(task.kind for task in self._running.values())
        without = {IMPORT} if running[IMPORT] >= self.engine.settings.limits.imports else set()
        if running.total() - sum(running[kind] for kind in self.beside) >= self.threads:
            without.update(kind for kind in self.handlers if kind not in self.beside)
        without.update(kind for kind, most in self.beside.items() if running[kind] >= most)
        if running[APPLY]:  # which ends those that wait, too
            without.add(APPLY)
        if running[POWER_POLL] >= max(self.threads // 2, 1):
            without.add(POWER_POLL)
        per_lane = self.engine.settings.limits.calls_per_bmc
        return claim(self.store, self.owner, now, self.LEASE, without=without, per_lane=per_lane)

    def mind(self, now: datetime) -> None:
        """Once a second: renew leases that are half gone, reap deadlines, let waiting operations begin.

        Raises nothing: what fails is logged, holds up nothing else, and is tried again a second later.
        """
        self._renew(now)
        for chore in self.chores:
            try:
                chore(now)
            except Exception:
                log.exception("chore failed")
        for step in (self._reap, self._promote):
            try:
                step(now)
            except Exception:
                log.exception("minding operations failed", step=step.__name__.removeprefix("_"))

    def _renew(self, now: datetime) -> None:
        running = list(self._running.values())
        self._renewed = {task.id: self._renewed[task.id] for task in running if task.id in self._renewed}
        for claimed in running:
            since = self._renewed.get(claimed.id)
            if since is not None and abs(now - since) < timedelta(seconds=self.LEASE / 2):
                continue
            try:
                renew(self.store, claimed, now, self.LEASE)
            except Exception:
                log.exception("a lease could not be renewed", task=claimed.id, kind=claimed.kind)
            else:
                self._renewed[claimed.id] = now

    def _reap(self, now: datetime) -> None:
        self.before_reaping()
        if self._is_any(Operation.state == "running", Operation.deadline < now):
            with self.store.write() as session:
                self.engine.reap(session, now)

    def _promote(self, _now: datetime) -> None:
        if self._is_any(Operation.state == "queued"):
            with self.store.write() as session:
                self.engine.promote(session)

    def _is_any(self, *which: ColumnElement[bool]) -> bool:
        """Whether there is such an operation: looking needs no write lock."""
        with self.store.session() as session:
            return session.scalar(select(Operation.id).where(*which).limit(1)) is not None

    def carry_out(self, claimed: Claimed) -> None:
        """Do one task and write down how it ended."""
        error: MetalwrightError | None = None
        try:
            if claimed.lost:
                raise MetalwrightError("task_lost", f"{claimed.kind} was given up: its workers died over it again and again.")
            if self._still_wanted(claimed):
                self.handlers[claimed.kind](claimed)
        except MetalwrightError as failure:
            error = failure
        except Exception as surprise:
            error = passing(surprise)
            if error is None:
                log.exception("task failed unexpectedly", task=claimed.id, kind=claimed.kind)
                error = MetalwrightError("internal", f"{claimed.kind} failed unexpectedly: {type(surprise).__name__}")
        for tries_left in reversed(range(self.TRIES)):
            try:
                self._write_down(claimed, error)
            except Exception as surprise:
                if tries_left and passing(surprise):
                    continue
                log.exception("the end of a task could not be written down", task=claimed.id, kind=claimed.kind)
                raise  # its lease is not renewed any more, and it is done again
            return

    def _still_wanted(self, claimed: Claimed) -> bool:
        """A power task of a phase that has passed would cut the machine off in the middle of the next one."""
        if claimed.operation_id is None:
            return True
        with self.store.write() as session:
            operation = take(session, claimed.operation_id)
            if operation is None or operation.phase != claimed.phase:
                return False
            return begins(session, claimed) and self.engine.effect_begins(session, operation)

    def _write_down(self, claimed: Claimed, error: MetalwrightError | None) -> None:
        with self.store.write() as session:
            task = session.get(Task, claimed.id, with_for_update=True)
            if task is None or task.fence != claimed.fence or task.state != "running":
                return
            passes = DatabaseTrouble if claimed.kind == IMPORT else Unavailable  # people are told of a source that is not there
            if isinstance(error, passes) and try_again(task, self.engine.clock()):
                log.warning("task put back", task=claimed.id, kind=claimed.kind, reason=error.message, run_at=task.run_at)
                return
            task.state = "failed" if error else "done"
            task.error = error.as_dict() if error else None
            task.ended_at = self.engine.clock()
            task.lease_until = None
            task.payload = {}  # the source of an image may hold a password
            image = session.get(Image, claimed.payload["image"]) if claimed.kind == IMPORT else None
            if error and image is not None and image.importing:
                catalogue.fail(image, error)
            operation = take(session, claimed.operation_id) if claimed.operation_id else None
            if error and claimed.operation_id is None and claimed.kind not in TELL_THEMSELVES:
                self._tell(session, claimed, error)
            if operation is None or operation.phase != claimed.phase:
                return
            done, failed = _SIGNALS.get(claimed.kind, (Signal.POWER_DONE, Signal.POWER_FAILED))
            if error:
                self.engine.signal(session, operation, failed, {**error.details, **error.as_dict()})
            else:
                self.engine.signal(session, operation, done)

    def _tell(self, session: Session, claimed: Claimed, error: MetalwrightError) -> None:
        """Say that a task failed on which no operation waits: nobody would be told otherwise."""
        machine = session.get(Machine, claimed.machine_id) if claimed.machine_id else None
        log.warning("task failed", task=claimed.id, kind=claimed.kind, code=error.code, reason=error.message)
        data = {"task": claimed.id, "kind": claimed.kind, **error.as_dict()}
        record(
            session, "task.failed", f"{claimed.kind} failed: {error.message}", machine=machine, data=data, at=self.engine.clock()
        )
