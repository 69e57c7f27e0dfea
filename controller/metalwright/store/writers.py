# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns at writing to a SQLite database, in the order in which they were asked for.

SQLite lets one write at a time and has the others look again after pauses that grow to 0.1 s, while who comes at the right moment
goes before them: of 36 threads that write, one in a hundred times 1.8 s were waited, and once 5 s. Here a thread waits for others
of its process, and one thread of each process for other processes, woken by the kernel (flock(2)): 0.4 s, and 0.6 s. Nothing is
held by who has died.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 30.0
"""Seconds after which a thread waits no longer for those of its process, but lets SQLite say what is wrong."""


class Turns:
    """``path`` is of a file beside the database, which is made when it is missing and stays empty."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn and have it while the block runs."""
        first = self._threads.acquire(timeout=PATIENCE)
        try:
            if not first:
                yield
                return
            with self._before_other_processes():
                yield
        finally:
            if first:
                self._threads.release()

    @contextmanager
    def _before_other_processes(self) -> Iterator[None]:
        """Opened anew each time: what is open across a fork would be one lock for both (flock(2))."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # a full disk, or one that may only be read: SQLite will say so
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # not left to close: a process that is being started may have a copy for a moment
            os.close(file)
