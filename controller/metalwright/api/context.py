# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request works with: settings, database, clock, engine; and the one way in which it writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from flask import current_app, g
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.lifecycle.engine import Engine
from metalwright.store import Store
from metalwright.store.base import Clock

T = TypeVar("T")

EXTENSION = "metalwright"


class _Rehearsed(Exception):
    """Ends the transaction of a dry run."""


@dataclass(frozen=True)
class Context:
    """The parts an application is made of."""

    settings: Settings
    store: Store
    clock: Clock
    engine: Engine
    waits: threading.BoundedSemaphore
    """Requests that may wait at once (long polls, streams), so that some threads are always free for the others."""

    @contextmanager
    def change(self, *, dry_run: bool) -> Iterator[Session]:
        """One writing transaction. A dry run goes exactly the same way and is rolled back at its end: what it answers is what
        would have been, and nothing is left of it, neither rows nor events nor tasks."""
        try:
            with self.store.write() as session:
                yield session
                if dry_run:
                    session.flush()
                    raise _Rehearsed
        except _Rehearsed:
            pass

    def wait_for(self, look: Callable[[], tuple[bool, T]], seconds: float) -> T:
        """Call ``look`` until it says that what it found is worth answering, or ``seconds`` are over; answers the last find.

        No transaction is held between two looks. When too many requests wait already, this one waits for a moment only, and
        ``g.retry_after`` tells the client to ask again.
        """
        found, value = look()
        if found or seconds <= 0:
            return value
        if not self.waits.acquire(blocking=False):
            g.retry_after = 1
            time.sleep(min(seconds, 0.1))
            return look()[1]
        try:
            deadline, pause = time.monotonic() + seconds, 0.05
            while not found and (left := deadline - time.monotonic()) > 0:
                time.sleep(min(pause, left))
                pause = min(pause * 1.5, 0.5)
                found, value = look()
            return value
        finally:
            self.waits.release()


def context() -> Context:
    """The context of the application that serves this request."""
    here: Context = current_app.extensions[EXTENSION]
    return here


def caller() -> str:
    """The name of the token that this request was made with."""
    name: str = g.caller
    return name
