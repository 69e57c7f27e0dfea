# SPDX-License-Identifier: GPL-3.0-or-later
"""The more agents report, the more seldom each is asked to."""

from __future__ import annotations

from node_world import Clock, World

from metalwright.config import Deadlines, Settings
from metalwright.node.pace import A_SECOND, Pace, longest, silence


def test_all_together_say_no_more_than_so_much_a_second() -> None:
    clock, pace = Clock(), Pace(20.0)
    pauses = [pace.pause(f"operation-{number}", clock()) for number in range(A_SECOND * 10)]
    assert (pauses[0], pauses[-1]) == (0.1, 10.0)
    assert pace.pause("operation-0", clock()) == 10.0, "who reports twice is one"
    clock.forward(41)
    assert pace.pause("operation-0", clock()) == 0.1, "the others have ended"


def test_nobody_is_asked_to_be_silent_for_so_long_that_it_seems_to_be_gone() -> None:
    clock, pace = Clock(), Pace(longest(Settings()))
    pauses = [pace.pause(f"operation-{number}", clock()) for number in range(1000)]
    assert pauses[-1] == 2.0 * Settings().heartbeat < silence(Settings()) < Settings().deadlines.heartbeat
    assert longest(Settings(deadlines=Deadlines(heartbeat=4))) == 1.0


def test_a_clock_that_was_put_back_remembers_nobody_for_ever() -> None:
    clock, pace = Clock(), Pace(20.0)
    pace.pause("earlier", clock())
    clock.forward(-3600)
    assert pace.pause("later", clock()) == 0.1


def test_an_agent_is_told(world: World) -> None:
    world.image()
    world.start(world.machine(), "deploy")
    token = world.token()
    world.hello(token)
    assert world.post(f"/agent/{token}/progress", {"step": "write", "percent": 1}).json == {"continue": True, "pause": 0.1}
