# SPDX-License-Identifier: GPL-3.0-or-later
"""A production line: threads that hand buffers on to each other, and all stop when one of them fails.

What they do (receiving, hashing, decompressing, writing) happens outside the interpreter's lock, so it really overlaps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Stopped(Exception):
    """The line has failed somewhere else; ``Line.error`` says how."""


class Line:
    """The threads and what they share."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.condition = threading.Condition()
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread of its own."""

        def guarded() -> None:
            try:
                work()
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - it is raised again where the line is waited for
                self.fail(error)

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def fail(self, error: BaseException) -> None:
        """Stop all of it; the first error counts."""
        with self.condition:
            self.error = self.error or error
            self.condition.notify_all()

    def join(self) -> None:
        """Wait until every thread has ended; raise the line's error if it has one."""
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error


class Channel(Generic[_Item]):
    """Items on the way from one thread to the next, in order. How many there are at once is up to who makes the buffers."""

    def __init__(self, line: Line, *items: _Item) -> None:
        self._line = line
        self._items = deque(items)
        self._closed = False

    def put(self, item: _Item) -> None:
        """Hand on an item. Raises ``Stopped``."""
        with self._line.condition:
            if self._line.error is not None:
                raise Stopped
            self._items.append(item)
            self._line.condition.notify_all()

    def close(self) -> None:
        """There is nothing more to come."""
        with self._line.condition:
            self._closed = True
            self._line.condition.notify_all()

    def get(self) -> _Item | None:
        """Wait for the next item; None when there is none to come. Raises ``Stopped``."""
        with self._line.condition:
            while not self._items and not self._closed and self._line.error is None:
                self._line.condition.wait()
            if self._line.error is not None:
                raise Stopped
            return self._items.popleft() if self._items else None

    def take(self) -> _Item:
        """Wait for an item of a channel that is never closed: a store of buffers. Raises ``Stopped``."""
        item = self.get()
        if item is None:
            raise Stopped
        return item
