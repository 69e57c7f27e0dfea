# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody who waits for a lab is told, where no terminal shows it live."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from metalwright.lab.steps import Steps, Tell


def test_a_line_for_each_step_with_the_last_thing_told() -> None:
    out = io.StringIO()
    steps = Steps(Console(file=out, width=200))
    with steps.step("Agent") as tell:
        tell("unpacking", 0.5)
        tell("up to date", 1.0)
    with steps.step("Network"):
        pass
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("done  Agent: up to date (")
    assert lines[1].startswith("done  Network (")


def test_both_go_on_at_the_same_time_and_both_results_come_back() -> None:
    met = threading.Barrier(2, timeout=30)

    def work(tell: Tell) -> str:
        tell("meeting", None)
        met.wait()
        return "met"

    for terminal in (False, True):
        steps = Steps(Console(file=io.StringIO(), force_terminal=terminal, width=200))
        assert steps.both(("One", work), ("Two", lambda tell: len(work(tell)))) == ("met", 3)


def test_a_failure_of_one_of_both_is_raised() -> None:
    def fail(_tell: Tell) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Steps(Console(file=io.StringIO())).both(("Good", lambda _: 1), ("Bad", fail))
