# SPDX-License-Identifier: GPL-3.0-or-later
"""How often agents report: a few as often as they like, a thousand so seldom that all together are heard."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from threading import Lock

from metalwright.config import Settings

A_SECOND = 20
"""Reports of all agents together. One costs the controller 5 ms: a tenth of a processor."""


def longest(settings: Settings) -> float:
    """Seconds of silence that an agent may be asked for, far from its deadline."""
    return min(2.0 * settings.heartbeat, settings.deadlines.heartbeat / 4)


def silence(settings: Settings) -> float:
    """Seconds without a sign after which an agent may have been restarted: two heartbeats more than it may be asked for."""
    return longest(settings) + 2 * settings.heartbeat


class Pace:
    """Counts who reports to this process. Kept in memory only: after a start it is known again within ``longest`` seconds."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._heard: OrderedDict[str, datetime] = OrderedDict()
        self._lock = Lock()

    def pause(self, key: str, now: datetime) -> float:
        """Note that ``key`` reports; answers for how many seconds it may be silent."""
        lately = timedelta(seconds=2 * self._longest)
        with self._lock:
            self._heard[key] = now
            self._heard.move_to_end(key)
            while abs(now - next(iter(self._heard.values()))) > lately:  # also when the clock was put back
                self._heard.popitem(last=False)
            return round(min(len(self._heard) / A_SECOND, self._longest), 1)
