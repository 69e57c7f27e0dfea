# SPDX-License-Identifier: GPL-3.0-or-later
"""What every route of the node plane works with."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from metalwright.config import Settings
from metalwright.lifecycle.engine import Engine
from metalwright.store import Store
from metalwright.store.base import Clock


@dataclass(frozen=True)
class Plane:
    """Settings, database, engine and clock, handed to the routes once."""

    settings: Settings
    store: Store
    engine: Engine
    clock: Clock

    @property
    def url(self) -> str:
        """Base URL at which machines reach this plane, without a slash at its end."""
        return self.settings.node.url.rstrip("/")


class Seldom:
    """Lets a thing through at most once in ``seconds`` for each key.

    Kept in memory only: what it guards is a log line or a write that may be left out. It remembers ``size`` keys at most and
    lets nothing through when it is full, so that inventing keys does not get around it.
    """

    def __init__(self, seconds: float, size: int = 1024) -> None:
        self._pause = timedelta(seconds=seconds)
        self._size = size
        self._last: OrderedDict[str, datetime] = OrderedDict()
        self._lock = Lock()

    def allows(self, key: str, now: datetime) -> bool:
        """True when ``key`` was not let through in the last seconds; it counts as let through then."""
        with self._lock:
            while self._last and abs(now - next(iter(self._last.values()))) >= self._pause:  # also when the clock was put back
                self._last.popitem(last=False)
            if key in self._last or len(self._last) >= self._size:
                return False
            self._last[key] = now
            return True
