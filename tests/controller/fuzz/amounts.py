# SPDX-License-Identifier: GPL-3.0-or-later
"""How many cases a target gets: few and always the same in ``make test``, many and new ones each time in ``make fuzz``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

PROFILE = "fuzz"
"""Of Hypothesis, as ``--hypothesis-profile`` takes it."""
_ALL = tuple(HealthCheck)

settings.register_profile(PROFILE, settings.get_profile("default"), print_blob=True)

CASES: Counter[str] = Counter()
"""What was tried, by target, for the table at the end."""
ANSWERS: dict[str, Counter[int]] = {}
"""How often each HTTP status was answered, by target: requests that are all refused have tried little."""


def large() -> bool:
    """Whether this is ``make fuzz``."""
    return settings.get_current_profile_name() == PROFILE


def cases(few: int, many: int) -> Callable[[Any], Any]:
    """The number of examples of a test, in each of the two."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
    if large():
        return settings(max_examples=many, deadline=None, suppress_health_check=_ALL, phases=phases)
    return settings(max_examples=few, deadline=None, suppress_health_check=_ALL, phases=phases, derandomize=True, database=None)


def answered(target: str, status: int) -> None:
    """Count a request and its answer."""
    CASES[target] += 1
    ANSWERS.setdefault(target, Counter())[status] += 1


def told() -> list[tuple[str, int, list[tuple[int, int]]]]:
    """What was counted, of plain types: target, cases, and how often each status."""
    return [(target, count, list(ANSWERS.get(target, Counter()).items())) for target, count in CASES.items()]


def add(counted: list[tuple[str, int, list[tuple[int, int]]]]) -> None:
    """Count what another process has counted."""
    for target, count, statuses in counted:
        CASES[target] += count
        if statuses:
            ANSWERS.setdefault(target, Counter()).update(dict(statuses))


def table() -> list[str]:
    """A line for each target."""
    lines = []
    for target, count in sorted(CASES.items()):
        statuses = ", ".join(f"{status}: {number}" for status, number in sorted(ANSWERS.get(target, Counter()).items()))
        lines.append(f"{target:<28} {count:>7}  {statuses}".rstrip())
    return lines
