# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service counts as it goes, brought to the database every few seconds: one write, however much happens."""

from __future__ import annotations

import threading
from collections import Counter

import structlog
from sqlalchemy.exc import SQLAlchemyError

from metalwright.store import Store, tallies

log = structlog.get_logger()

FLUSH_SECONDS = 5.0


class Tallying:
    """Counts in memory. A process that is killed loses what it counted in the last seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: Counter[tallies.Key] = Counter()
        self._lock = threading.Lock()

    def count(self, key: tallies.Key, amount: int = 1) -> None:
        """Add to a number; never waits for the database."""
        with self._lock:
            self._counts[key] += amount

    def flush(self) -> None:
        """Bring what was counted to the database; it is kept for the next time if that can not be done."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            with self._store.write() as session:
                tallies.add(session, counts)
        except SQLAlchemyError:
            log.exception("counts are kept back")
            with self._lock:
                self._counts.update(counts)

    def start(self) -> None:
        """Flush again and again, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="tallying", daemon=True).start()

    def _run(self) -> None:
        never = threading.Event()
        while not never.wait(FLUSH_SECONDS):
            self.flush()
