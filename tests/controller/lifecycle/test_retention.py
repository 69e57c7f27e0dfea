# SPDX-License-Identifier: GPL-3.0-or-later
"""What is old is removed, in small batches, and nothing that somebody still needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event as happening
from sqlalchemy import func, select

from metalwright.config import Retention as Days
from metalwright.config import Settings
from metalwright.lifecycle.retention import BATCH, MACHINES, NEWEST, Retention
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import ConsoleLog, Event, Follower, Machine, Operation, Task, Webhook

DAYS = Days(events_days=90, operations_days=365, tasks_days=7)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: Any, store: Store) -> Store:
    """The same on both databases."""
    if request.param == "sqlite":
        return store
    found: Store = request.getfixturevalue("postgres_store")
    return found


@pytest.fixture
def sweep(store: Store, settings: Settings, clock: Any) -> Any:
    retention = Retention(store, settings.model_copy(update={"retention": DAYS}))

    def seconds(count: int = 12) -> None:
        for _ in range(count):
            retention.sweep(clock())
            clock.advance(1)

    return seconds


def count(store: Store, model: Any) -> int:
    with store.session() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def happen(store: Store, clock: Any, days: float, *messages: str, **more: Any) -> None:
    with store.write() as session:
        for message in messages:
            record(session, "test", message, at=clock() - timedelta(days=days), **more)


def left(store: Store) -> list[str]:
    with store.session() as session:
        return list(session.scalars(select(Event.message).order_by(Event.id)))


def test_old_events_are_removed_and_numbers_are_not_given_again(store: Store, clock: Any, sweep: Any) -> None:
    happen(store, clock, 91, "old", "older")
    happen(store, clock, 89, "young")
    sweep()
    assert left(store) == ["young"]
    clock.advance(2 * 86400)
    sweep()
    assert left(store) == []
    happen(store, clock, 0, "new")
    with store.session() as session:
        assert session.scalar(select(Event.id)) == 4


def test_it_is_looked_at_once_an_hour(store: Store, clock: Any, sweep: Any) -> None:
    sweep()
    happen(store, clock, 91, "old")
    sweep(60)
    assert left(store) == ["old"]
    clock.advance(3600)
    sweep()
    assert left(store) == []


def test_much_is_removed_in_many_small_transactions(store: Store, clock: Any, sweep: Any) -> None:
    happen(store, clock, 100, *(["old"] * (BATCH * 2 + 3)))
    happen(store, clock, 1, "young")
    removed: list[int] = []

    @happening.listens_for(store.engine, "after_cursor_execute")
    def _count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM event"):
            removed.append(cursor.rowcount)

    sweep()
    assert removed == [BATCH, BATCH, 3]
    assert left(store) == ["young"]


def add_operation(store: Store, clock: Any, machine: Machine, days: float, state: str = "succeeded") -> str:
    moment = clock() - timedelta(days=days)
    with store.write() as session:
        ended = None if state in ("running", "queued") else moment
        operation = Operation(
            kind="test", machine_id=machine.id, from_state="ready", state=state, created_at=moment, ended_at=ended
        )
        session.add(operation)
        session.flush()
        session.add(ConsoleLog(operation_id=operation.id, source="agent", text="x"))
        return operation.id


def add_machine(store: Store, name: str = "node-1") -> Machine:
    with store.write() as session:
        machine = Machine(name=name)
        session.add(machine)
        session.flush()
        return machine


def test_events_of_an_operation_under_way_are_kept_and_hold_up_nothing(store: Store, clock: Any, sweep: Any) -> None:
    live = add_operation(store, clock, add_machine(store), 200, "running")
    with store.session() as session:
        operation = session.get_one(Operation, live)
    happen(store, clock, 200, *(["of the operation"] * (BATCH + 1)), operation=operation)
    happen(store, clock, 100, "old")
    sweep()
    assert set(left(store)) == {"of the operation"}


def test_events_that_a_follower_has_not_read_are_kept(store: Store, clock: Any, sweep: Any) -> None:
    happen(store, clock, 100, "read", "unread")
    with store.write() as session:
        session.add(Follower(name="measures", cursor=1))
    sweep()
    assert left(store) == ["unread"]


def test_a_webhook_that_waits_for_removed_events_goes_on_after_them_and_says_so_once(
    store: Store, clock: Any, sweep: Any
) -> None:
    happen(store, clock, 100, *(["old"] * (BATCH + 5)))
    happen(store, clock, 1, "young")
    with store.write() as session:
        for name, patterns in (("behind", []), ("uninterested", ["other.*"])):
            session.add(Webhook(name=name, url="http://x/", enabled=False, events=patterns))
        session.add(Webhook(name="done", url="http://x/", cursor=BATCH + 6))
    sweep()
    with store.session() as session:
        told = session.scalars(select(Event).where(Event.kind == "webhook.given_up")).all()
        hooks = {hook.name: (hook.cursor, hook.given_up) for hook in session.scalars(select(Webhook))}
    assert [(event.data["webhook"], event.data["events"]) for event in told] == [("behind", BATCH + 5)]
    assert hooks["behind"] == (BATCH + 5, BATCH + 5)
    assert hooks["uninterested"][1] == 0
    assert hooks["done"] == (BATCH + 6, 0)


def test_old_operations_go_and_the_newest_of_each_machine_stay(store: Store, clock: Any, sweep: Any) -> None:
    busy, quiet = add_machine(store, "busy"), add_machine(store, "quiet")
    old = [add_operation(store, clock, busy, 400 + number) for number in range(NEWEST + 5)]
    live = add_operation(store, clock, busy, 500, "running")
    young = [add_operation(store, clock, busy, 300 - number) for number in range(3)]
    few = [add_operation(store, clock, quiet, 1000 + number) for number in range(NEWEST)]
    sweep()
    with store.session() as session:
        kept = set(session.scalars(select(Operation.id)))
    assert kept == {*young, live, *few, *old[: NEWEST - 3]}
    assert count(store, ConsoleLog) == len(kept)


def test_all_machines_are_looked_at(store: Store, clock: Any, sweep: Any) -> None:
    with store.write() as session:
        machines = [Machine(name=f"n{number}") for number in range(MACHINES * 2 + 1)]
        session.add_all(machines)
        session.flush()
        moment = clock() - timedelta(days=400)
        for machine in machines:
            for _ in range(NEWEST + 6):
                row = {"kind": "test", "from_state": "ready", "state": "failed", "created_at": moment, "ended_at": moment}
                session.add(Operation(machine_id=machine.id, **row))
    sweep()
    assert count(store, Operation) == NEWEST * (MACHINES * 2 + 1)


def test_tasks_that_ended_long_ago_go_and_those_that_wait_stay(store: Store, clock: Any, sweep: Any) -> None:
    def add(state: str, run: float, ended: float | None) -> None:
        with store.write() as session:
            at = None if ended is None else clock() - timedelta(days=ended)
            session.add(Task(kind=f"{state}-{ended}", state=state, run_at=clock() - timedelta(days=run), ended_at=at))

    for state in ("done", "failed", "cancelled"):
        add(state, 9, 8)
        add(state, 9, 6)
    add("pending", 100, None)
    add("running", 100, None)
    sweep()
    with store.session() as session:
        assert sorted(session.scalars(select(Task.kind))) == ["cancelled-6", "done-6", "failed-6", "pending-None", "running-None"]
