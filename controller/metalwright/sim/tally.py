# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted and timed while a fleet is under way."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all are not above; 0 when there is none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@dataclass(frozen=True)
class Phase:
    """How long something took, in seconds."""

    name: str
    count: int
    p50: float
    p99: float
    longest: float


class Tally:
    """Durations by name, and how often what happened."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self.events: Counter[str] = Counter()
        self.bytes = 0

    def took(self, name: str, seconds: float) -> None:
        """Note a duration."""
        self._seconds[name].append(seconds)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long the block takes, if it ends well."""
        began = time.monotonic()
        yield
        self.took(name, time.monotonic() - began)

    def phases(self) -> list[Phase]:
        """All of it, in the order in which each was first seen."""
        return [
            Phase(name, len(found), percentile(found, 0.5), percentile(found, 0.99), max(found))
            for name, found in self._seconds.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        phases = {
            each.name: {"count": each.count, **{name: round(getattr(each, name), 4) for name in ("p50", "p99", "longest")}}
            for each in self.phases()
        }
        return {"phases": phases, "events": dict(self.events), "bytes": self.bytes}
