# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the engine's leases: whoever wants to know is told of each that is given, extended or has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import select

from metalwright.network import leases_seen
from metalwright.network.engines import Engine
from metalwright.network.engines.leases import Lease, LeaseChanges, changes
from metalwright.store import Store
from metalwright.store import models as stored

log = structlog.get_logger()

POLL = 1.0
"""Seconds between two looks at the engine's files, of which nothing but their time is read where nothing has changed."""
_AT_ONCE = 200
"""Leases that are written in one transaction."""

Sink = Callable[[LeaseChanges], None]


class LeaseFollowing:
    """Compares the leases with those that were seen last. The first look tells of all there are."""

    def __init__(self, engine: Engine, sink: Sink, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._sink = sink
        self._clock = clock
        self._known: list[Lease] | None = None
        self._at: list[tuple[int, int]] = []
        self._next_end = 0.0

    def start(self) -> None:
        """Look again and again, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="leases", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("leases were not written down")  # they are compared again with what was before
            time.sleep(POLL)

    def look(self) -> None:
        """Tell what has changed since the last look."""
        now = self._clock()
        at = [_time_and_size(path) for path in self._engine.lease_files()]
        if self._known is not None and at == self._at and not 0 < self._next_end <= now:
            return
        leases = [lease for lease in self._engine.leases() if not lease.ended(now)]
        if self._known is None:
            self._sink(LeaseChanges(tuple(leases), complete=True))
        elif (changed := changes(self._known, leases)).given or changed.ended:
            self._sink(changed)
        self._known, self._at = leases, at
        self._next_end = min((lease.expires for lease in leases if lease.expires), default=0)


def write_down(store: Store, told: LeaseChanges, clock: Callable[[], datetime]) -> None:
    """Keep leases in the database. Raises ``SQLAlchemyError``; told the same again, it comes to the same."""
    ended = [lease.address for lease in told.ended]
    if told.complete:
        given = {lease.address for lease in told.given}
        with store.session() as session:
            ended = [address for address in session.scalars(select(stored.Lease.address)) if address not in given]
    for start in range(0, max(len(told.given), len(ended)), _AT_ONCE):
        with store.write() as session:
            for lease in told.given[start : start + _AT_ONCE]:
                until = datetime.fromtimestamp(lease.expires, UTC) if lease.expires else None
                leases_seen.seen(session, lease.address, lease.mac, until, clock())
            for address in ended[start : start + _AT_ONCE]:
                leases_seen.ended(session, address)


def _time_and_size(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
