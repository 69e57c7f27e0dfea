# SPDX-License-Identifier: GPL-3.0-or-later
"""A child that keeps dying is started less and less often; one that was well is started at once."""

from __future__ import annotations

from metalwright.serve.backoff import DELAYS, HEALTHY, Backoff


def test_the_first_restart_is_immediate_and_later_ones_wait_longer() -> None:
    backoff = Backoff()
    waits = [backoff.after(0.1) for _ in range(len(DELAYS) + 3)]
    assert waits[0] == 0
    assert waits[: len(DELAYS)] == list(DELAYS)
    assert set(waits[len(DELAYS) :]) == {10.0}


def test_health_is_forgiven() -> None:
    backoff = Backoff()
    for _ in range(4):
        backoff.after(1)
    assert backoff.after(HEALTHY) == 0
    assert backoff.after(1) == DELAYS[1]
