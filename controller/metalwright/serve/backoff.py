# SPDX-License-Identifier: GPL-3.0-or-later
"""How long to wait before a child that died is started again."""

from __future__ import annotations

DELAYS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the first, second, ... restart in a row; the last one is for all that follow."""
HEALTHY = 30.0
"""A child that lived this many seconds was well: its next death counts as the first."""


class Backoff:
    """Counts the deaths in a row of one child."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, lived: float) -> float:
        """Seconds to wait now that the child died after ``lived`` seconds."""
        if lived >= HEALTHY:
            self._deaths = 0
        delay = DELAYS[min(self._deaths, len(DELAYS) - 1)]
        self._deaths += 1
        return delay
