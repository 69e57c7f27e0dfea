# SPDX-License-Identifier: GPL-3.0-or-later
"""Time for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
