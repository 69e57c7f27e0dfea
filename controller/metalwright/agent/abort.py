# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping at once: one thread hears that the job is aborted, another one is in the middle of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import Aborted


class Abort:
    """Asked for once, by any thread; whatever blocks meanwhile is ended by the callbacks given to ``cancelling``."""

    def __init__(self) -> None:
        self.reason = ""
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._cancels: list[Callable[[], None]] = []

    def ask(self, reason: str) -> None:
        """Stop everything that is running and let nothing new begin."""
        with self._lock:
            if self._event.is_set():
                return
            self.reason = reason
            self._event.set()
            cancels = list(self._cancels)
        for cancel in cancels:
            cancel()

    def check(self) -> None:
        """Raise ``Aborted`` if it was asked for."""
        if self._event.is_set():
            raise Aborted(self.reason)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond an abort: then raise ``Aborted``."""
        if self._event.wait(seconds):
            raise Aborted(self.reason)

    @contextmanager
    def cancelling(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Call ``cancel`` (from another thread) if the abort comes while the body runs. It must make the body return or raise."""
        with self._lock:
            self._cancels.append(cancel)
            asked = self._event.is_set()
        if asked:
            cancel()
        try:
            yield
        finally:
            with self._lock:
                self._cancels.remove(cancel)
