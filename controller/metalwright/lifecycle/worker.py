# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: carries out the outbox's tasks in threads and reaps deadlines. Any number of them may run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select

from metalwright.errors import MetalwrightError, Unavailable
from metalwright.images import catalogue
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.tasks import Claimed, claim, renew, try_again
from metalwright.store import Store
from metalwright.store.models import Image, Operation, Task

log = structlog.get_logger()

IMPORT = "image.import"
DELIVER = "webhook.deliver"
POWER_POLL = "power.poll"

Handler = Callable[[Claimed], None]
"""Carries out an effect; raises ``MetalwrightError`` when it can not be done."""

Chore = Callable[[datetime], None]
"""Something small that is looked at once a second, in a transaction of its own."""


class Worker:
    """Carries out tasks in threads, tells operations how they ended, renews leases and reaps deadlines."""

    LEASE = 15.0
    """Seconds until a dead worker's task is taken over."""
    POLL = 0.15
    """Seconds between two looks at an empty outbox."""
    WEBHOOK_THREADS = 8
    """Threads beside the others: however slow the servers of webhooks are, operations do not wait for them."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        handlers: Mapping[str, Handler],
        *,
        owner: str,
        threads: int,
        chores: Sequence[Chore] = (),
    ) -> None:
        self.store = store
        self.engine = engine
        self.handlers = handlers
        self.owner = owner
        self.threads = threads
        self.chores = chores
        self._running: dict[Future[None], Claimed] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; tasks under way are finished first."""
        with ThreadPoolExecutor(self.threads + self.WEBHOOK_THREADS, thread_name_prefix="task") as pool:
            next_minding = self.engine.clock()
            while not stop.is_set():
                self._running = {future: task for future, task in self._running.items() if not future.done()}
                now = self.engine.clock()
                if now >= next_minding:
                    self.mind(now)
                    next_minding = now + timedelta(seconds=1)
                claimed = self._claim(now) if len(self._running) < self.threads + self.WEBHOOK_THREADS else None
                if claimed is None:
                    stop.wait(self.POLL)
                else:
                    self._running[pool.submit(self.carry_out, claimed)] = claimed

    def _claim(self, now: datetime) -> Claimed | None:
        """The next task; imports of images leave room for the power calls, which are short, and polls for those of operations."""
        running = Counter(task.kind for task in self._running.values())
        without = {IMPORT} if running[IMPORT] >= self.engine.settings.limits.imports else set()
        if running.total() - running[DELIVER] >= self.threads:
            without.update(kind for kind in self.handlers if kind != DELIVER)
        if running[DELIVER] >= self.WEBHOOK_THREADS:
            without.add(DELIVER)
        if running[POWER_POLL] >= max(self.threads // 2, 1):
            without.add(POWER_POLL)
        per_lane = self.engine.settings.limits.calls_per_bmc
        return claim(self.store, self.owner, now, self.LEASE, without=without, per_lane=per_lane)

    def mind(self, now: datetime) -> None:
        """Once a second: renew leases that are half gone, reap deadlines, let waiting operations begin."""
        for claimed in list(self._running.values()):
            renew(self.store, claimed, now, self.LEASE)
        for chore in self.chores:
            try:
                chore(now)
            except Exception:
                log.exception("chore failed")
        with self.store.session() as session:
            late = select(Operation.id).where(Operation.state == "running", Operation.deadline < now).limit(1)
            waiting = select(Operation.id).where(Operation.state == "queued").limit(1)
            if session.scalar(late) is None and session.scalar(waiting) is None:
                return
        with self.store.write() as session:
            self.engine.reap(session)
            self.engine.promote(session)

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
            log.exception("task failed unexpectedly", task=claimed.id, kind=claimed.kind)
            error = MetalwrightError("internal", f"{claimed.kind} failed unexpectedly: {type(surprise).__name__}")
        self._write_down(claimed, error)

    def _still_wanted(self, claimed: Claimed) -> bool:
        """A power task of a phase that has passed would cut the machine off in the middle of the next one."""
        if claimed.operation_id is None:
            return True
        with self.store.write() as session:
            operation = session.get(Operation, claimed.operation_id)
            if operation is None or operation.phase != claimed.phase:
                return False
            return self.engine.effect_begins(session, operation)

    def _write_down(self, claimed: Claimed, error: MetalwrightError | None) -> None:
        with self.store.write() as session:
            task = session.get(Task, claimed.id, with_for_update=True)
            if task is None or task.fence != claimed.fence or task.state != "running":
                return
            if isinstance(error, Unavailable) and claimed.kind != IMPORT and try_again(task, self.engine.clock()):
                log.warning("task put back", task=claimed.id, kind=claimed.kind, reason=error.message, run_at=task.run_at)
                return
            task.state = "failed" if error else "done"
            task.error = error.as_dict() if error else None
            task.ended_at = self.engine.clock()
            task.lease_until = None
            task.payload = {}  # the source of an image may hold a password
            image = session.get(Image, claimed.payload["image"]) if claimed.kind == IMPORT else None
            if error and image is not None and image.status == "importing":
                catalogue.fail(image, error)
            operation = session.get(Operation, claimed.operation_id) if claimed.operation_id else None
            if operation is None or operation.phase != claimed.phase:
                return
            if error:
                self.engine.signal(session, operation, Signal.POWER_FAILED, error.as_dict())
            else:
                self.engine.signal(session, operation, Signal.POWER_DONE)
