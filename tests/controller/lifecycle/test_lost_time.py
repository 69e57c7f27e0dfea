# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody minds operations for a while, or the clock is put right: nobody is late by that, and nothing waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from still_clock import Clock

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.lost_time import BORNE, NOTED, LostTime
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.tasks import claim, enqueue
from metalwright.lifecycle.worker import Worker
from metalwright.store import Store
from metalwright.store.models import Interface, Machine, Minding, Operation, ScriptRun, Task, Webhook

HOUR = 3600.0
YEARS = 10 * 365 * 24 * HOUR
OUTAGE = 180.0
LEASE = 9.0
A_WHILE = BORNE.total_seconds() - 1
"""Seconds between two looks of a worker that is not held up."""


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
def begins(store: Store, engine: Engine, passed: Passed) -> Callable[[], LostTime]:
    """A worker begins: it minds operations once."""

    def begin() -> LostTime:
        made = LostTime(store, engine, LEASE, passed)
        made.make_up()
        return made

    return begin


@pytest.fixture
def worker(begins: Callable[[], LostTime]) -> LostTime:
    return begins()


Passing = Callable[..., None]


@pytest.fixture
def passing(clock: Clock, passed: Passed) -> Passing:
    """Let time pass while some workers mind operations."""

    def by(seconds: float, *minding: LostTime) -> None:
        while seconds > 0:
            some = min(seconds, A_WHILE) if minding else seconds
            clock.advance(some)
            passed.seconds += some
            seconds -= some
            for each in minding:
                each.make_up()

    return by


@pytest.fixture
def operation(store: Store, engine: Engine) -> str:
    """One whose agent is at work: it is to report every 120 s."""
    return add(store, engine, "release")


def add(store: Store, engine: Engine, kind: str, *, at_work: bool = True, **parameters: Any) -> str:
    with store.write() as session:
        machine = Machine(name="node-1", state="ready", hardware={}, interfaces=[Interface(mac="52:54:00:00:00:01", boot=True)])
        session.add(machine)
        session.flush()
        operation = engine.start(session, machine, kind, parameters, by="test")
        for signal in (Signal.BOOT_SCRIPT, Signal.HELLO) if at_work else ():
            engine.signal(session, operation, signal)
        session.execute(update(Task).values(state="done"))  # what waits in line is not late
        return operation.id


def deadline(store: Store, operation: str) -> datetime:
    with store.session() as session:
        found = session.get_one(Operation, operation).deadline
    assert found is not None
    return found


def reap(store: Store, engine: Engine) -> int:
    with store.write() as session:
        return engine.reap(session)


def test_time_in_which_a_worker_minds_operations_is_not_lost(
    worker: LostTime, store: Store, engine: Engine, passing: Passing, operation: str
) -> None:
    passing(engine.settings.deadlines.heartbeat + 1, worker)
    assert reap(store, engine) == 1


def test_nobody_is_late_by_the_time_that_no_controller_was_there(
    worker: LostTime, store: Store, engine: Engine, passing: Passing, begins: Any, clock: Clock, operation: str
) -> None:
    with store.write() as session:
        session.get_one(Operation, operation).token_expires = clock() + timedelta(seconds=OUTAGE)
    passing(60, worker)
    left, lives = deadline(store, operation) - clock(), timedelta(seconds=OUTAGE - 60)
    passing(OUTAGE)
    other = begins()
    assert reap(store, engine) == 0
    assert deadline(store, operation) - clock() == left
    with store.session() as session:
        assert session.get_one(Operation, operation).token_expires == clock() + lives
    passing(left.total_seconds() + 1, other)
    assert reap(store, engine) == 1


def test_nobody_is_late_by_the_time_that_the_database_was_away(
    worker: LostTime,
    store: Store,
    engine: Engine,
    passing: Passing,
    clock: Clock,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It comes back between two statements of the worker."""

    def gone(*_arguments: Any, **_named: Any) -> None:
        raise OperationalError("SELECT 1", {}, Exception("the server closed the connection"))

    whole = Worker(store, engine, {}, owner="w", threads=1, before_reaping=worker.make_up)
    whole.mind(clock())
    passing(OUTAGE)
    with monkeypatch.context() as away:
        away.setattr(LostTime, "_note", gone)
        whole.mind(clock())
    passing(1)
    whole.mind(clock())
    with store.session() as session:
        assert session.get_one(Operation, operation).state == "running"
    assert deadline(store, operation) > clock()


def test_a_worker_that_was_away_while_another_minded_changes_nothing(
    worker: LostTime, store: Store, engine: Engine, passing: Passing, begins: Any, operation: str
) -> None:
    other = begins()
    passing(engine.settings.deadlines.heartbeat + 1, other)
    worker.make_up()
    assert reap(store, engine) == 1


@pytest.mark.parametrize("which", ["store", "postgres_store"])
def test_nobody_is_late_by_a_step_forward_and_two_workers_give_it_back_once(
    which: str, request: pytest.FixtureRequest, engine: Engine, passing: Passing, passed: Passed, clock: Clock
) -> None:
    store = request.getfixturevalue(which)
    workers = [LostTime(store, engine, LEASE, passed) for _ in range(2)]
    operation = add(store, engine, "release")
    before = deadline(store, operation)
    passing(A_WHILE, *workers)
    clock.advance(HOUR)
    for worker in workers:
        worker.make_up()
    assert deadline(store, operation) == before + timedelta(seconds=HOUR)
    assert reap(store, engine) == 0


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("until_set_right", [2.0, 60.0])
def test_a_host_that_begins_in_the_past_makes_nobody_late_and_nothing_everlasting(
    worker: LostTime,
    store: Store,
    engine: Engine,
    passing: Passing,
    begins: Any,
    clock: Clock,
    operation: str,
    until_set_right: float,
    reports: bool,
) -> None:
    """Its real-time clock has no battery, and the agent may report before NTP has set it right."""
    worker.make_up()
    clock.advance(-YEARS)
    passing(OUTAGE)
    anew = begins()
    if reports:
        with store.write() as session:
            engine.signal(session, session.get_one(Operation, operation), Signal.PROGRESS, {})
    passing(until_set_right, anew)
    clock.advance(YEARS)
    anew.make_up()
    patience = timedelta(seconds=engine.settings.deadlines.heartbeat)
    assert clock() < deadline(store, operation) <= clock() + patience
    passing(patience.total_seconds() + 1, anew)
    assert reap(store, engine) == 1


def test_after_a_step_back_deadlines_are_no_later_than_usual(
    worker: LostTime, store: Store, engine: Engine, clock: Clock, operation: str
) -> None:
    clock.advance(-HOUR)
    worker.make_up()
    assert deadline(store, operation) == clock() + timedelta(seconds=engine.settings.deadlines.heartbeat)


def test_after_a_step_back_a_playbook_has_the_time_that_was_asked_for(
    worker: LostTime, store: Store, engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metalwright.lifecycle.playbooks.prepared", lambda _settings, _machine, _kind, given: given)
    operation = add(store, engine, "release", at_work=False, playbook="drain", playbook_timeout=14400)
    grace = deadline(store, operation) - clock() - timedelta(seconds=14400)
    clock.advance(-HOUR)
    worker.make_up()
    assert deadline(store, operation) == clock() + timedelta(seconds=14400) + grace


def test_after_a_step_back_a_machine_that_may_reboot_has_the_time_for_it(
    worker: LostTime, store: Store, engine: Engine, clock: Clock
) -> None:
    operation = add(store, engine, "commission")
    rebooting = timedelta(seconds=engine.settings.deadlines.netboot)
    with store.write() as session:
        stored = session.get_one(Operation, operation)
        stored.deadline = clock() + rebooting
        facts = {"script_name": "bios", "kind": "commissioning", "position": 0, "source": "", "timeout_seconds": 600}
        run = ScriptRun(operation_id=operation, machine_id=stored.machine_id, status="running", may_reboot=True, **facts)
        run.required, run.parallel, run.created_at = True, False, clock()
        session.add(run)
    clock.advance(-HOUR)
    worker.make_up()
    assert deadline(store, operation) == clock() + rebooting


def test_after_a_step_back_tasks_are_carried_out_and_those_of_the_dead_are_taken_over(
    worker: LostTime, store: Store, clock: Clock
) -> None:
    with store.write() as session:
        enqueue(session, "power.on", {}, now=clock())
    clock.advance(-HOUR)
    assert claim(store, "me", clock(), LEASE) is None
    worker.make_up()
    assert claim(store, "one that dies", clock(), LEASE) is not None
    clock.advance(-HOUR)
    worker.make_up()
    clock.advance(LEASE + 1)
    assert claim(store, "me", clock(), LEASE) is not None


def test_after_a_step_back_machines_are_polled_and_webhooks_tried(
    worker: LostTime, store: Store, engine: Engine, clock: Clock
) -> None:
    with store.write() as session:
        session.add(Machine(name="node-1", power_poll_at=clock(), updated_at=clock()))
        session.add(Webhook(name="chat", url="http://x", retry_at=clock()))
    changed = clock()
    clock.advance(-HOUR)
    worker.make_up()
    with store.session() as session:
        machine, hook = session.scalars(select(Machine)).one(), session.scalars(select(Webhook)).one()
    assert machine.power_poll_at is not None
    assert machine.power_poll_at <= clock() + timedelta(seconds=2 * engine.settings.power.poll_seconds)
    assert machine.updated_at == changed, "nobody has changed the machine"
    assert hook.retry_at == clock()


def test_a_clock_that_was_put_back_while_nobody_minded_is_noticed(
    worker: LostTime, store: Store, engine: Engine, passing: Passing, begins: Any, clock: Clock, operation: str
) -> None:
    clock.advance(-HOUR)
    anew = begins()
    passing(BORNE.total_seconds() + A_WHILE, anew)
    assert deadline(store, operation) <= clock() + timedelta(seconds=engine.settings.deadlines.heartbeat)


def test_a_worker_whose_clock_alone_is_slow_fails_nobody(
    worker: LostTime, store: Store, engine: Engine, passed: Passed, clock: Clock, operation: str
) -> None:
    """The other's is right, and goes by it."""
    slow = Clock()
    slow.advance(-HOUR)
    other = LostTime(store, Engine(engine.settings, slow), LEASE, passed)
    before = deadline(store, operation)
    for _ in range(10):
        for each in (clock, slow):
            each.advance(A_WHILE)
        passed.seconds += A_WHILE
        worker.make_up()
        other.make_up()
    assert deadline(store, operation) == before


def test_one_that_can_not_be_dealt_with_holds_up_no_other(
    worker: LostTime, store: Store, engine: Engine, passing: Passing, begins: Any, clock: Clock, operation: str
) -> None:
    with store.write() as session:
        bad = Machine(name="node-2", state="ready")
        session.add(bad)
        session.flush()
        engine.start(session, bad, "commission", {}, by="test").phase = "no-such-phase"
    passing(OUTAGE)
    begins()
    assert deadline(store, operation) > clock()


def test_a_controller_that_has_nothing_to_do_writes_nothing(
    worker: LostTime, store: Store, engine: Engine, passing: Passing, clock: Clock
) -> None:
    def noted() -> datetime:
        with store.session() as session:
            return session.get_one(Minding, 1).at

    began = noted()
    passing(NOTED + 1, worker)
    assert noted() == began
    add(store, engine, "release")
    passing(NOTED + 1, worker)
    assert noted() == clock()
