# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the erasing of each disk is, and whether one has stopped moving."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Stall(NamedTuple):
    """A disk on which nothing has moved."""

    path: str
    seconds: float
    done_bytes: int
    total_bytes: int


class Pace:
    """Bytes done of every disk, by its path. The disks' threads write it, the one that watches them reads it."""

    def __init__(self, totals: Mapping[str, int], stall_seconds: float, clock: Callable[[], float]) -> None:
        """``totals``: bytes to be done of each disk; ``clock`` counts seconds and never goes back."""
        self._clock = clock
        self._limit = stall_seconds
        self._lock = threading.Lock()
        self._totals = dict(totals)
        self._done = dict.fromkeys(totals, 0)
        self._moved = dict.fromkeys(totals, clock())
        self._patience = dict.fromkeys(totals, 0.0)
        self._running: set[str] = set()

    def begin(self, path: str) -> None:
        """From now on something must move on this disk."""
        with self._lock:
            self._running.add(path)
            self._moved[path] = self._clock()

    def moved(self, path: str, done_bytes: int) -> None:
        """So many bytes are done now; may be fewer than before where a disk is begun anew."""
        with self._lock:
            self._done[path] = done_bytes
            self._moved[path] = self._clock()
            self._patience[path] = 0.0

    def be_patient(self, path: str, seconds: float) -> None:
        """The drive works on its own and tells nothing: for so long silence is no stall. Ends with the next ``moved``."""
        with self._lock:
            self._moved[path] = self._clock()
            self._patience[path] = seconds

    def end(self, path: str) -> None:
        """The disk is done with, well or not."""
        with self._lock:
            self._running.discard(path)
            self._done[path] = self._totals[path]

    def total(self) -> tuple[int, int]:
        """Return bytes done and bytes to be done, of all disks together."""
        with self._lock:
            return sum(self._done.values()), sum(self._totals.values())

    def stall(self) -> Stall | None:
        """Return a disk that has not moved for longer than it may, or None."""
        with self._lock:
            now = self._clock()
            for path in sorted(self._running):
                silent = now - self._moved[path]
                if silent > max(self._limit, self._patience[path]):
                    return Stall(path, silent, self._done[path], self._totals[path])
        return None
