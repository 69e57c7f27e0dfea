# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller notices of power by itself, against a BMC that speaks the real protocol."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from paper_bmc import Bench
from sqlalchemy import select

from metalwright.config import Power, Settings
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.power_polling import Polling
from metalwright.lifecycle.power_settings import set_power
from metalwright.lifecycle.tasks import claim, enqueue
from metalwright.lifecycle.worker import Worker
from metalwright.store import Store
from metalwright.store.models import Event, Machine, Task


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(bench: Bench) -> None:
    bench.reset()


class Watch:
    """A worker that polls, and what it found."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, clock: Any) -> None:
        self.store, self.engine, self.clock = store, engine, clock
        drift = itertools.cycle((-1.0, 1.0))
        self.polling = Polling(settings, store, clock, jitter=lambda: next(drift))
        self.worker = Worker(store, engine, self.polling.handlers(), owner="w", threads=2)

    def add(self, name: str, driver: str, parameters: dict[str, Any], **columns: Any) -> None:
        with self.store.write() as session:
            machine = Machine(name=name, **{"state": "ready", "hardware": {}, "updated_at": self.clock(), **columns})
            set_power(machine, driver, parameters)
            session.add(machine)

    def bmc(self, bench: Bench, **other: Any) -> dict[str, Any]:
        return {"address": "127.0.0.1", "port": bench.port, "username": "admin", "password": "calvin", **other}

    def look(self) -> int:
        """Schedule what is due now and carry it out; answers how many polls that were."""
        self.polling.schedule(self.clock())
        tasks = list(iter(lambda: claim(self.store, "w", self.clock(), 15), None))
        for task in tasks:
            self.worker.carry_out(task)
        return len(tasks)

    def machine(self, name: str = "node-1") -> Machine:
        with self.store.session() as session:
            return session.scalars(select(Machine).where(Machine.name == name)).one()

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        with self.store.session() as session:
            found = session.execute(select(Event.kind, Event.data).where(Event.kind.like("power.%")).order_by(Event.id))
            return [(kind, data) for kind, data in found]


@pytest.fixture
def watch(settings: Settings, store: Store, engine: Engine, clock: Any) -> Watch:
    return Watch(settings, store, engine, clock)


def test_a_machine_that_was_turned_on_by_somebody_else_is_noticed_once(watch: Watch, bench: Bench) -> None:
    watch.add("node-1", "ipmi", watch.bmc(bench))
    before = watch.machine().updated_at
    assert watch.look() == 1
    assert (watch.machine().power_state, watch.events()) == ("off", [])
    bench.set("on", True)
    assert watch.look() == 0
    for _ in range(2):
        watch.clock.advance(400)
        assert watch.look() == 1
    machine = watch.machine()
    assert (machine.power_state, machine.power_checked_at, machine.state) == ("on", watch.clock(), "ready")
    assert watch.events() == [("power.changed", {"driver": "ipmi", "state": "on", "was": "off", "by_itself": True})]
    assert machine.updated_at == before
    with watch.store.session() as session:
        assert session.scalars(select(Task)).all() == [], "a poll leaves no task behind"


def test_intervals_drift_apart(watch: Watch, bench: Bench) -> None:
    watch.add("node-1", "ipmi", watch.bmc(bench))
    watch.add("node-2", "ipmi", watch.bmc(bench))
    watch.polling.schedule(watch.clock())
    pauses = {(watch.machine(name).power_poll_at or watch.clock()) - watch.clock() for name in ("node-1", "node-2")}
    assert pauses == {timedelta(seconds=225), timedelta(seconds=375)}


def test_unreachable_is_said_once_and_so_is_that_it_answers_again(watch: Watch) -> None:
    with Bench() as short:
        watch.add("node-1", "ipmi", watch.bmc(short))
        watch.look()
        port = short.port
    for _ in range(2):
        watch.clock.advance(400)
        watch.look()
    machine = watch.machine()
    assert machine.power_failure is not None
    assert machine.power_failure["code"] == "bmc_unreachable"
    assert (machine.power_state, machine.power_checked_at) == ("off", watch.clock() - timedelta(seconds=800))
    assert machine.state == "ready"
    with Bench(port):
        watch.clock.advance(400)
        watch.look()
    assert watch.machine().power_failure is None
    assert [kind for kind, _ in watch.events()] == ["power.unreachable", "power.reachable"]


def test_who_can_not_answer_or_is_busy_is_left_alone(watch: Watch, bench: Bench) -> None:
    watch.add("by-hand", "manual", {})
    watch.add("woken", "wol", {"mac": "52:54:00:12:34:56"})
    watch.add("busy", "ipmi", watch.bmc(bench), state="new")
    with watch.store.write() as session:
        machine = session.scalars(select(Machine).where(Machine.name == "busy")).one()
        watch.engine.start(session, machine, "power-on", {}, by="test")
        session.scalars(select(Task)).one().state = "done"
    assert watch.look() == 0


def test_an_operation_that_began_meanwhile_is_not_disturbed(watch: Watch, bench: Bench) -> None:
    watch.add("node-1", "ipmi", watch.bmc(bench))
    watch.polling.schedule(watch.clock())
    with watch.store.write() as session:
        watch.engine.start(session, session.scalars(select(Machine)).one(), "power-on", {}, by="test")
    task = claim(watch.store, "w", watch.clock(), 15)
    assert task is not None
    assert task.kind == "power.poll"
    watch.worker.carry_out(task)
    assert watch.machine().power_checked_at is None
    following = claim(watch.store, "w", watch.clock(), 15)
    assert following is not None
    assert following.kind == "power.on"


def test_a_poll_that_waits_in_line_is_not_asked_for_again(watch: Watch, bench: Bench) -> None:
    watch.add("node-1", "ipmi", watch.bmc(bench))
    for _ in range(3):
        watch.polling.schedule(watch.clock())
        watch.clock.advance(400)
    assert watch.look() == 1


def test_polls_leave_room_for_the_calls_of_operations(watch: Watch, bench: Bench) -> None:
    for number in range(3):
        watch.add(f"node-{number}", "ipmi", watch.bmc(bench, address=f"127.0.0.{number + 1}"))
    watch.polling.schedule(watch.clock())
    with watch.store.write() as session:
        enqueue(session, "network.apply", {}, now=watch.clock())
    kinds = []
    for future in range(2):  # as the loop of the worker does
        claimed = watch.worker._claim(watch.clock())
        assert claimed is not None
        watch.worker._running[future] = claimed  # type: ignore[index]
        kinds.append(claimed.kind)
    assert kinds == ["power.poll", "network.apply"]


def test_zero_seconds_is_never(watch: Watch, bench: Bench, settings: Settings) -> None:
    watch.add("node-1", "ipmi", watch.bmc(bench))
    never = settings.model_copy(update={"power": Power(poll_seconds=0)})
    Polling(never, watch.store, watch.clock).schedule(watch.clock())
    assert watch.machine().power_poll_at is None
