# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting a random while, so that a rack of machines does not ask in step."""

from __future__ import annotations

import os

SHORTEST = 1.0
LONGEST = 10.0


def between(low: float, high: float) -> float:
    """Return a random number of seconds from ``low`` to ``high``."""
    return low + (high - low) * int.from_bytes(os.urandom(4), "big") / 0xFFFFFFFF


def after(failures: int) -> float:
    """Return how long to wait after so many failures in a row: 1 to 2 s, then 1 to 4 s, up to 1 to 10 s."""
    return between(SHORTEST, min(LONGEST, 2.0 ** min(failures, 8)))
