# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long something is waited for: deadlines of phases, lives of tokens."""

from __future__ import annotations

from typing import Any

import pytest
from operating import DEPLOY, add_machine, carry_out, look, start, tell

from metalwright.config import Deadlines, Settings
from metalwright.errors import NotFound
from metalwright.lifecycle import tasks, tokens
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.worker import Worker
from metalwright.store import Store
from metalwright.store.models import Operation


def test_a_sign_of_life_moves_the_deadline(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    tell(store, engine, operation_id, Signal.BOOT_SCRIPT, Signal.HELLO)
    for _ in range(5):
        clock.advance(engine.settings.deadlines.heartbeat - 1)
        tell(store, engine, operation_id, Signal.PROGRESS, percent=10, message="writing")
        with store.write() as session:
            assert engine.reap(session) == 0
    clock.advance(engine.settings.deadlines.heartbeat + 1)
    with store.write() as session:
        assert engine.reap(session) == 1
    operation = look(store, operation_id)
    assert operation.failure is not None
    assert operation.failure["code"] == "agent_silent"
    assert "writing" in operation.failure["last_seen"]


def test_a_token_dies_with_its_operation_and_with_its_successor(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    with store.write() as session:
        first = tokens.mint(session, session.get_one(Operation, operation_id), clock, 3600)
    with store.write() as session:
        second = tokens.mint(session, session.get_one(Operation, operation_id), clock, 3600)
    with store.session() as session:
        assert tokens.find(session, second, clock).id == operation_id
        with pytest.raises(NotFound):
            tokens.find(session, first, clock)
        clock.advance(3601)
        with pytest.raises(NotFound):
            tokens.find(session, second, clock)
    with store.write() as session:
        third = tokens.mint(session, session.get_one(Operation, operation_id), clock, 3600)
    tell(store, engine, operation_id, *DEPLOY)
    with store.session() as session, pytest.raises(NotFound):
        tokens.find(session, third, clock)


def test_no_deadline_runs_while_its_effect_waits_in_line(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "power-on")
    clock.advance(10 * engine.settings.deadlines.power)
    with store.write() as session:
        assert engine.reap(session) == 0
        assert engine.effect_begins(session, session.get_one(Operation, operation_id))
    carry_out(store)
    clock.advance(engine.settings.deadlines.power + 1)
    with store.write() as session:
        assert engine.reap(session) == 1
    assert look(store, operation_id).state == "failed"


def test_no_deadline_runs_while_a_dead_worker_holds_its_effect(store: Store, engine: Engine, clock: Any) -> None:
    start(store, engine, add_machine(store), "power-on")
    clock.advance(engine.settings.deadlines.power - 1)

    def reaped() -> int:
        clock.advance(2)
        with store.write() as session:
            return engine.reap(session)

    assert tasks.claim(store, "dies before it begins", clock(), 60)
    assert reaped() == 0
    clock.advance(60)
    claimed = tasks.claim(store, "begins", clock(), 3)
    assert claimed is not None
    with store.write() as session:
        tasks.begins(session, claimed)
    assert reaped() == 1, "the deadline had passed before"


def test_no_deadline_runs_after_a_worker_died_over_its_effect(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "power-on")
    claimed = tasks.claim(store, "dies", clock(), engine.settings.deadlines.power)
    assert claimed is not None
    with store.write() as session:
        tasks.begins(session, claimed)
        assert engine.effect_begins(session, session.get_one(Operation, operation_id))
    clock.advance(engine.settings.deadlines.power + 1)
    with store.write() as session:
        assert engine.reap(session) == 0, "its lease has run out, so another is about to take it"
    assert tasks.claim(store, "lives", clock(), 60)


def test_a_live_workers_effect_has_its_deadline(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "power-on")
    reaped = []

    def hang(task: tasks.Claimed) -> None:
        clock.advance(engine.settings.deadlines.power + 1)
        assert tasks.renew(store, task, clock(), Worker.LEASE)
        with store.write() as session:
            reaped.append(engine.reap(session))

    worker = Worker(store, engine, {"power.on": hang}, owner="lives", threads=1)
    claimed = worker._claim(clock())
    assert claimed is not None
    worker.carry_out(claimed)
    assert reaped == [1]
    assert look(store, operation_id).state == "failed"


def test_what_another_has_claimed_since_is_not_begun(store: Store, engine: Engine, clock: Any) -> None:
    """Of two that turn the machine on, the second would cut it off in the middle of its boot."""
    start(store, engine, add_machine(store), "power-on")
    done = []
    workers = [Worker(store, engine, {"power.on": done.append}, owner=owner, threads=1) for owner in ("stalls", "is quicker")]
    late = workers[0]._claim(clock())
    clock.advance(Worker.LEASE + 1)
    other = workers[1]._claim(clock())
    assert late is not None
    assert other is not None
    workers[0].carry_out(late)
    assert done == []
    workers[1].carry_out(other)
    assert done == [other]


def test_a_token_lives_as_long_as_its_machine_reports(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    tell(store, engine, operation_id, Signal.BOOT_SCRIPT)
    with store.write() as session:
        raw = tokens.mint(session, session.get_one(Operation, operation_id), clock, engine.settings.deadlines.token)
    tell(store, engine, operation_id, Signal.HELLO)
    for _ in range(3):
        clock.advance(engine.settings.deadlines.token - 1)
        tell(store, engine, operation_id, Signal.PROGRESS, percent=1)
        with store.session() as session:
            assert tokens.find(session, raw, clock).id == operation_id


@pytest.mark.parametrize("signs", [(), (Signal.FIRST_BOOT,)])
def test_a_first_boot_that_may_last_longer_than_a_token_is_heard_until_its_deadline(
    store: Store, settings: Settings, clock: Any, signs: tuple[Signal, ...]
) -> None:
    """A finisher whose token is void removes itself, and the machine that runs well would be restarted."""
    engine = Engine(settings.model_copy(update={"deadlines": Deadlines(first_boot=14400, token=7200)}), clock)
    operation_id = start(store, engine, add_machine(store), "deploy")
    tell(store, engine, operation_id, Signal.BOOT_SCRIPT)
    with store.write() as session:
        raw = tokens.mint(session, session.get_one(Operation, operation_id), clock, 7200)
    tell(store, engine, operation_id, Signal.HELLO, Signal.JOB_DONE, *signs)
    clock.advance(14399)
    with store.session() as session:
        assert tokens.find(session, raw, clock).id == operation_id


def test_an_agent_that_may_boot_longer_than_a_token_lives_is_heard(store: Store, settings: Settings, clock: Any) -> None:
    engine = Engine(settings.model_copy(update={"deadlines": Deadlines(boot=600, token=300)}), clock)
    operation_id = start(store, engine, add_machine(store), "deploy")
    tell(store, engine, operation_id, Signal.BOOT_SCRIPT)
    with store.write() as session:
        raw = tokens.mint(session, session.get_one(Operation, operation_id), clock, 300)
    clock.advance(599)
    with store.session() as session:
        assert tokens.find(session, raw, clock).id == operation_id
