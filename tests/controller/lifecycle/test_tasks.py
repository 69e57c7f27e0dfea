# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: at least once, never two owners at a time, nothing lost when a worker dies."""

from __future__ import annotations

import pkgutil
import queue
import threading
from collections import Counter
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import OperationalError

from metalwright.errors import Invalid, Unavailable
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.tasks import MAX_ATTEMPTS, Claimed, claim, enqueue, renew
from metalwright.lifecycle.worker import Worker
from metalwright.power import PowerError
from metalwright.store import Store
from metalwright.store.models import Event, Machine, Operation, Task


def add_task(store: Store, clock: Any, kind: str = "noop", **payload: Any) -> None:
    with store.write() as session:
        enqueue(session, kind, payload, now=clock())


def states(store: Store) -> list[str]:
    with store.session() as session:
        return list(session.scalars(select(Task.state).order_by(Task.id)))


def test_a_task_has_one_owner_until_its_lease_runs_out(store: Store, clock: Any) -> None:
    add_task(store, clock)
    first = claim(store, "a", clock(), 15)
    assert first is not None
    assert claim(store, "b", clock(), 15) is None
    clock.advance(10)
    assert renew(store, first, clock(), 15)
    clock.advance(10)
    assert claim(store, "b", clock(), 15) is None
    clock.advance(10)
    second = claim(store, "b", clock(), 15)
    assert second is not None
    assert second.fence == first.fence + 1
    assert not renew(store, first, clock(), 15)


def test_a_machine_has_one_task_at_a_time(store: Store, clock: Any) -> None:
    with store.write() as session:
        machines = [Machine(name=name, state="ready") for name in ("node-1", "node-2")]
        session.add_all(machines)
        session.flush()
        for machine, kind in ((machines[0], "power.off"), (machines[0], "power.netboot"), (machines[1], "power.on")):
            enqueue(session, kind, {}, machine=machine, now=clock())
    kinds = [task.kind for task in iter(lambda: claim(store, "a", clock(), 15), None)]
    assert kinds == ["power.off", "power.on"]
    with store.write() as session:
        session.scalars(select(Task).where(Task.kind == "power.off")).one().state = "done"
    following = claim(store, "a", clock(), 15)
    assert following is not None
    assert following.kind == "power.netboot"


def test_what_a_worker_says_after_it_lost_its_lease_is_refused(store: Store, engine: Engine, clock: Any) -> None:
    add_task(store, clock)
    late = claim(store, "a", clock(), 15)
    clock.advance(16)
    assert claim(store, "b", clock(), 15)
    assert late is not None
    Worker(store, engine, {"noop": lambda _task: None}, owner="a", threads=1).carry_out(late)
    assert states(store) == ["running"]


def test_a_task_that_kills_its_worker_each_time_is_given_up(store: Store, engine: Engine, clock: Any) -> None:
    add_task(store, clock)
    for _ in range(MAX_ATTEMPTS):
        assert claim(store, "a", clock(), 15)
        clock.advance(16)
    last = claim(store, "a", clock(), 15)
    assert last is not None
    assert last.lost
    Worker(store, engine, {}, owner="a", threads=1).carry_out(last)
    assert states(store) == ["failed"]


def test_what_a_part_of_the_controller_was_not_there_for_is_tried_again(store: Store, engine: Engine, clock: Any) -> None:
    tries: list[str] = []

    def busy(task: Claimed) -> None:
        tries.append(task.kind)
        if len(tries) < 3:
            raise Unavailable("dnsmasq_unreachable", "dnsmasq is being restarted")

    add_task(store, clock)
    worker = Worker(store, engine, {"noop": busy}, owner="a", threads=1)
    for _ in range(3):
        claimed = claim(store, "a", clock(), 15)
        assert claimed is not None
        worker.carry_out(claimed)
        clock.advance(8)
    assert states(store) == ["done"]


def test_one_application_of_the_network_is_enough_at_once(store: Store, engine: Engine, clock: Any) -> None:
    """It ends those that wait, which would only hold threads that others need."""
    for _ in range(3):
        add_task(store, clock, "network.apply")
    add_task(store, clock, "power.on")
    kinds: list[str] = []

    def apply(_task: Claimed) -> None:
        worker._running = {Future(): first}
        following = worker._claim(clock())
        kinds.append(following.kind if following else "")

    worker = Worker(store, engine, {"network.apply": apply}, owner="a", threads=4)
    first = worker._claim(clock())
    assert first is not None
    worker.carry_out(first)
    assert kinds == ["power.on"]


def test_imports_leave_room_for_other_tasks(store: Store, clock: Any) -> None:
    add_task(store, clock, "image.import")
    add_task(store, clock, "power.on")
    claimed = claim(store, "a", clock(), 15, without=("image.import",))
    assert claimed is not None
    assert claimed.kind == "power.on"


def test_many_workers_do_each_task_once(store: Store, engine: Engine, clock: Any) -> None:
    for number in range(60):
        add_task(store, clock, number=number)
    done: Counter[int] = Counter()
    lock, stop = threading.Event(), threading.Event()
    guard = threading.Lock()

    def handler(task: Claimed) -> None:
        with guard:
            done[task.payload["number"]] += 1
            if len(done) == 60:
                lock.set()

    workers = [Worker(store, engine, {"noop": handler}, owner=f"w{n}", threads=2) for n in range(3)]
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    assert lock.wait(30)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(done.values()) == {1}
    assert set(states(store)) == {"done"}


def test_a_failed_effect_is_told_to_its_operation(store: Store, engine: Engine, clock: Any) -> None:
    def refuse(_task: Claimed) -> None:
        raise PowerError("bmc_unreachable", "10.0.0.9 does not answer", "Check the cable.")

    with store.write() as session:
        machine = Machine(name="node-1", state="ready", hardware={})
        session.add(machine)
        session.flush()
        operation_id = engine.start(session, machine, "power-on", {}, by="test").id
    worker = Worker(store, engine, {"power.on": refuse}, owner="w", threads=1)
    task = claim(store, "w", clock(), 15)
    assert task is not None
    worker.carry_out(task)
    with store.session() as session:
        operation = session.get_one(Operation, operation_id)
        assert operation.failure is not None
        assert (operation.state, operation.failure["code"]) == ("failed", "bmc_unreachable")
        assert operation.machine.operation_id is None


def test_a_power_task_of_a_phase_that_has_passed_does_nothing(store: Store, engine: Engine, clock: Any) -> None:
    calls: list[int] = []
    with store.write() as session:
        machine = Machine(name="node-1", state="ready", hardware={})
        session.add(machine)
        session.flush()
        operation = engine.start(session, machine, "power-on", {}, by="test")
        engine.fail(session, operation, {"code": "x", "message": "x"})
    with store.write() as session:
        session.execute(select(Task)).scalar_one().state = "pending"
    task = claim(store, "w", clock(), 15)
    assert task is not None
    Worker(store, engine, {"power.on": lambda task: calls.append(task.id)}, owner="w", threads=1).carry_out(task)
    assert calls == []


def enqueue_calls(store: Store, clock: Any, lanes: dict[str, str | None], times: int = 1) -> None:
    """Power calls of machines by name, each in the lane named."""
    with store.write() as session:
        machines = [Machine(name=name, power_lane=lane) for name, lane in lanes.items()]
        session.add_all(machines)
        session.flush()
        for machine in machines:
            for _ in range(times):
                enqueue(session, "power.query", {}, machine=machine, now=clock())


def test_few_calls_go_to_one_bmc_at_once_and_others_do_not_wait(store: Store, clock: Any) -> None:
    enqueue_calls(store, clock, {"a": "10.0.0.5", "b": "10.0.0.5", "c": "10.0.0.5", "d": "10.0.0.6", "e": None})
    add_task(store, clock)
    claimed = list(iter(lambda: claim(store, "w", clock(), 15, per_lane=2), None))
    with store.session() as session:
        names = [session.get_one(Machine, task.machine_id).name for task in claimed if task.machine_id]
    assert sorted(names) == ["a", "b", "d", "e"]
    assert len(claimed) == 5
    with store.write() as session:
        session.get_one(Task, claimed[0].id).state = "done"
    following = claim(store, "w", clock(), 15, per_lane=2)
    assert following is not None
    assert claim(store, "w", clock(), 15, per_lane=2) is None


def test_a_call_whose_worker_died_does_not_hold_its_lane(store: Store, clock: Any) -> None:
    enqueue_calls(store, clock, {"a": "10.0.0.5", "b": "10.0.0.5"})
    first = claim(store, "dead", clock(), 15, per_lane=1)
    assert claim(store, "w", clock(), 15, per_lane=1) is None
    clock.advance(16)
    again = claim(store, "w", clock(), 15, per_lane=1)
    assert first is not None
    assert again is not None
    assert again.id == first.id


def test_only_power_calls_go_in_a_lane(store: Store, clock: Any) -> None:
    with store.write() as session:
        machine = Machine(name="node-1", power_lane="10.0.0.5")
        session.add(machine)
        session.flush()
        assert enqueue(session, "power.on", {}, machine=machine, now=clock()).lane == "10.0.0.5"
        assert enqueue(session, "network.apply", {}, machine=machine, now=clock()).lane is None


@pytest.mark.parametrize("lanes", [{"a": None}, {"a": "10.0.0.5", "b": "10.0.0.5"}])
def test_two_workers_that_claim_at_the_same_moment_see_each_other(
    postgres_store: Store, clock: Any, lanes: dict[str, str | None]
) -> None:
    """Two calls of one machine, or of two machines of one BMC that bears one at a time."""
    enqueue_calls(postgres_store, clock, lanes, times=2)
    claims: list[Claimed | None] = []
    second = threading.Thread(target=lambda: claims.append(claim(postgres_store, "b", clock(), 15, per_lane=1)))

    def waits() -> bool:
        with postgres_store.session() as session:
            return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    @event.listens_for(postgres_store.engine, "commit")
    def before_the_first_claim_is_seen(_connection: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            second.start()
            while second.is_alive() and not waits():
                pass

    first = claim(postgres_store, "a", clock(), 15, per_lane=1)
    second.join()
    assert first is not None
    assert claims == [None]


@pytest.mark.parametrize("broken", ["lifecycle.worker.renew", "lifecycle.engine.Engine.reap", "lifecycle.worker.claim"])
def test_a_worker_goes_on_after_the_database_failed_once(
    store: Store, engine: Engine, clock: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    add_task(store, clock)
    with store.write() as session:
        machine = Machine(name="node-1", state="ready")
        session.add(machine)
        session.flush()
        operation_id = engine.start(session, machine, "commission", {}, by="test").id
        session.execute(update(Task).where(Task.operation_id == operation_id).values(state="done"))
        session.get_one(Operation, operation_id).deadline = clock()
    clock.advance(1)
    failed, later_done, stop = threading.Event(), threading.Event(), threading.Event()
    module, _, name = f"metalwright.{broken}".rpartition(".")
    real: Any = pkgutil.resolve_name(f"{module}.{name}")

    def fails_once(*arguments: Any, **named: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise OperationalError("SELECT 1", {}, Exception("the server closed the connection"))
        return real(*arguments, **named)

    def handler(task: Claimed) -> None:
        if task.id == 1:
            clock.advance(Worker.LEASE / 2)  # so that its lease is to be renewed while it is at work
            assert failed.wait(30)
        else:
            later_done.set()

    monkeypatch.setattr(f"metalwright.{broken}", fails_once)
    monkeypatch.setattr(Worker, "AFTER_TROUBLE", 0.01)
    worker = Worker(store, engine, {"noop": handler}, owner="a", threads=2)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    assert failed.wait(30)
    add_task(store, clock)
    went_on = later_done.wait(30)
    stop.set()
    thread.join()
    assert went_on


def test_a_task_on_which_no_operation_waits_says_why_it_failed(store: Store, engine: Engine, clock: Any) -> None:
    """DNS and DHCP would stay as they were, and nobody would know."""

    def refuses(_task: Claimed) -> None:
        raise Invalid("dhcp_config_refused", "dnsmasq refuses its configuration.", "Look at the subnets.")

    add_task(store, clock, "network.apply")
    claimed = claim(store, "a", clock(), 15)
    assert claimed is not None
    Worker(store, engine, {"network.apply": refuses}, owner="a", threads=1).carry_out(claimed)
    with store.session() as session:
        told = session.scalars(select(Event).where(Event.kind == "task.failed")).one()
    assert told.message == "network.apply failed: dnsmasq refuses its configuration."
    assert (told.data["code"], told.data["hint"]) == ("dhcp_config_refused", "Look at the subnets.")


def test_leases_are_renewed_when_they_are_half_gone(store: Store, engine: Engine, clock: Any) -> None:
    add_task(store, clock)
    begun, go, stop = threading.Event(), threading.Event(), threading.Event()
    minded: queue.SimpleQueue[datetime] = queue.SimpleQueue()

    def handler(_task: Claimed) -> None:
        begun.set()
        assert go.wait(30)

    def lease_after(seconds: float) -> datetime:
        """How long the task is held, once the worker has minded it at that time."""
        clock.now = start + timedelta(seconds=seconds)
        while minded.get(timeout=30) < clock.now:
            pass
        with store.session() as session:
            return session.scalars(select(Task.lease_until)).one()  # type: ignore[return-value]

    start = clock()
    worker = Worker(store, engine, {"noop": handler}, owner="a", threads=1, chores=[minded.put])
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        assert begun.wait(30)
        assert lease_after(Worker.LEASE / 3) == start + timedelta(seconds=Worker.LEASE)
        assert lease_after(Worker.LEASE / 2) == start + timedelta(seconds=Worker.LEASE * 1.5)
    finally:
        stop.set()
        go.set()
        thread.join()
