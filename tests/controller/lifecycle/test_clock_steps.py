# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock is put right by an hour: nobody is late by that, and nothing waits for the hour that was taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from still_clock import Clock

from metalwright.config import Settings
from metalwright.lifecycle.clock_steps import ClockSteps
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.tasks import claim
from metalwright.store import Store
from metalwright.store.models import Interface, Machine, Operation, Task

HOUR = 3600.0
LEASE = 9.0


class Passed:
    """Seconds that have really passed."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def passed() -> Passed:
    return Passed()


@pytest.fixture
def steps(store: Store, settings: Settings, clock: Clock, passed: Passed) -> ClockSteps:
    made = ClockSteps(store, settings, LEASE, passed)
    made.look(clock())
    return made


@pytest.fixture
def operation(store: Store, engine: Engine) -> str:
    with store.write() as session:
        machine = Machine(name="node-1", state="new", interfaces=[Interface(mac="52:54:00:00:00:01", boot=True)])
        session.add(machine)
        session.flush()
        return engine.start(session, machine, "commission", {}, by="test").id


def reap(store: Store, engine: Engine) -> int:
    with store.write() as session:
        for task in session.scalars(select(Task)):
            task.state = "done"  # what waits in line is not late
        return engine.reap(session)


def test_time_that_passes_is_no_step(
    steps: ClockSteps, store: Store, engine: Engine, clock: Clock, passed: Passed, operation: str
) -> None:
    clock.advance(HOUR)
    passed.seconds += HOUR
    steps.look(clock())
    assert reap(store, engine) == 1


def test_nobody_is_late_by_a_step_forward(steps: ClockSteps, store: Store, engine: Engine, clock: Clock, operation: str) -> None:
    clock.advance(HOUR)
    steps.look(clock())
    assert reap(store, engine) == 0
    clock.advance(engine.settings.deadlines.netboot + 1)
    assert reap(store, engine) == 1


def test_after_a_step_back_deadlines_are_no_later_than_usual(
    steps: ClockSteps, store: Store, engine: Engine, clock: Clock, operation: str
) -> None:
    clock.advance(-HOUR)
    steps.look(clock())
    with store.session() as session:
        found = session.get_one(Operation, operation).deadline
    assert found == clock() + timedelta(seconds=engine.settings.deadlines.netboot)


def test_after_a_step_back_tasks_are_carried_out_and_those_of_the_dead_are_taken_over(
    steps: ClockSteps, store: Store, clock: Clock, operation: str
) -> None:
    clock.advance(-HOUR)
    assert claim(store, "me", clock(), LEASE) is None
    steps.look(clock())
    assert claim(store, "one that dies", clock(), LEASE) is not None
    clock.advance(-HOUR)
    steps.look(clock())
    clock.advance(LEASE + 1)
    assert claim(store, "me", clock(), LEASE) is not None
