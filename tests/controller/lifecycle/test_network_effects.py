# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that change DHCP and DNS: many are one, what is refused is told, an address in use stops a machine before it boots."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from metalwright.config import Dhcp, Node, Settings
from metalwright.errors import Conflict, Invalid, MetalwrightError, Unavailable
from metalwright.lifecycle import network_effects
from metalwright.lifecycle.network_effects import NetworkEffects
from metalwright.lifecycle.tasks import Claimed, claim, enqueue
from metalwright.network import duplicates
from metalwright.network.engines import Change, Process
from metalwright.network.model import NetworkState
from metalwright.network.turns import turn
from metalwright.store import Store
from metalwright.store.base import utcnow
from metalwright.store.models import DhcpOption, Event, Interface, Machine, Operation, Subnet, Task

TASK = Claimed(0, "network.apply", {}, None, None, None, 0)


class CountingEngine:
    """Counts what it is asked to do; waits for leave in the first call."""

    def __init__(self) -> None:
        self.applied = 0
        self.begun = threading.Event()
        self.leave = threading.Event()
        self.error: MetalwrightError | None = None

    def apply(self, state: NetworkState) -> Change:
        self.applied += 1
        self.begun.set()
        self.leave.wait(10)
        if self.error:
            raise self.error
        return Change.NOTHING

    def processes(self) -> Sequence[Process | None]:
        return [None]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> CountingEngine:
    made = CountingEngine()
    monkeypatch.setattr(network_effects.engines, "create", lambda _settings: made)
    return made


@pytest.fixture
def effects(store: Store, engine: CountingEngine, tmp_path: Path) -> NetworkEffects:
    settings = Settings(data_dir=tmp_path, node=Node(url="http://x"), dhcp=Dhcp(engine="dnsmasq", interface="lo"))
    return NetworkEffects(settings, store, utcnow)


def add_tasks(store: Store, count: int) -> None:
    with store.write() as session:
        for _ in range(count):
            enqueue(session, "network.apply", {})


def states(store: Store) -> list[str]:
    with store.session() as session:
        return list(session.scalars(select(Task.state).order_by(Task.id)))


def test_threads_that_wait_are_done_by_the_one_before_them(effects: NetworkEffects, engine: CountingEngine) -> None:
    threads = [threading.Thread(target=effects.apply, args=(TASK,)) for _ in range(6)]
    threads[0].start()
    engine.begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    while effects.asked < 6:  # they are as good as waiting then
        time.sleep(0.001)
    engine.leave.set()
    for thread in threads:
        thread.join()
    assert engine.applied == 2  # what was asked for while the first was under way may be in none of what it read


def test_the_longer_it_takes_the_longer_it_is_left_alone(store: Store, engine: CountingEngine, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, node=Node(url="http://x"), dhcp=Dhcp(engine="dnsmasq", interface="lo"))
    moments, slept = iter([100.0, 100.0, 100.1, 100.2, 101.0, 102.0, 102.0, 102.5, 102.5]), list[float]()
    effects = NetworkEffects(settings, store, utcnow, lambda: next(moments), slept.append)
    engine.leave.set()
    effects.apply(TASK)  # from 100.0 to 100.1: not before 100.5
    effects.apply(TASK)  # asked for at 100.2, from 101.0 to 102.0: not before 103.0
    effects.apply(TASK)
    assert slept == [0, pytest.approx(0.3), pytest.approx(1.0)]


def test_a_machine_that_dhcp_knows_boots_without_all_others_being_read(
    effects: NetworkEffects, engine: CountingEngine, store: Store
) -> None:
    engine.leave.set()
    with store.write() as session:
        subnet = Subnet(name="lab", cidr="10.0.0.0/24")
        card = Interface(mac="52:54:00:00:00:01", boot=True, address="10.0.0.9", subnet=subnet)
        other = Interface(mac="52:54:00:00:00:02", boot=True, address="10.0.0.8", subnet=subnet)
        known, neighbour = (
            Machine(name=name, power_driver="manual", power_parameters={}, interfaces=[each])
            for name, each in (("a", card), ("b", other))
        )
        session.add_all([known, neighbour])
        session.flush()
        task, machine_id = replace(TASK, machine_id=known.id), known.id

    def applied(**changed: object) -> int:
        """How often the network is applied when the machine boots twice after a change."""
        before = engine.applied
        with store.write() as session:
            machine = session.get_one(Machine, machine_id)
            for name, value in changed.items():
                setattr(machine.interfaces[0] if name == "address" else machine, name, value)
        effects.apply_for(task)
        effects.apply_for(task)
        return engine.applied - before

    assert applied() == 1
    assert applied() == 0
    assert applied(hostname="web1") == 1
    assert applied(address="10.0.0.10") == 1
    assert applied(named=["10.0.0.11"]) == 1
    with store.write() as session:
        session.add(DhcpOption(family=4, code=42, value="10.0.0.1", machine_id=machine_id))
    assert applied() == 1
    with turn(effects._settings):  # another process on this host
        pass
    assert applied() == 1
    add_tasks(store, 1)  # somebody changed the network
    assert applied() == 1
    assert states(store) == ["done"]
    engine.error = Invalid("engine_can_not", "It can not.")
    for _ in range(2):  # what was refused is not known
        with pytest.raises(Invalid):
            effects.apply(TASK)
        with pytest.raises(Invalid):
            effects.apply_for(task)
    engine.error = None
    assert applied() == 1


def test_nobody_on_this_host_applies_a_state_while_another_is_between_reading_and_applying(
    effects: NetworkEffects, engine: CountingEngine, tmp_path: Path
) -> None:
    """The older one could be written last, and an address that was given would be missing."""
    thread = threading.Thread(target=effects.apply, args=(TASK,))
    thread.start()
    engine.begun.wait(10)
    with (tmp_path / "network.lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        engine.leave.set()
        thread.join()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_all_tasks_that_wait_are_one_apply(effects: NetworkEffects, engine: CountingEngine, store: Store) -> None:
    add_tasks(store, 1200)
    engine.leave.set()
    claimed = claim(store, "me", utcnow() + timedelta(seconds=1), 60)
    assert claimed is not None
    effects.apply(claimed)
    assert engine.applied == 1
    assert sorted(set(states(store))) == ["done", "running"]
    assert states(store).count("done") == 1199


def test_a_task_that_comes_while_it_is_applied_is_not_done_by_it(
    effects: NetworkEffects, engine: CountingEngine, store: Store
) -> None:
    thread = threading.Thread(target=effects.apply, args=(TASK,))
    thread.start()
    engine.begun.wait(10)
    add_tasks(store, 1)
    engine.leave.set()
    thread.join()
    assert states(store) == ["pending"]


def test_what_is_refused_is_told_once_for_all(effects: NetworkEffects, engine: CountingEngine, store: Store) -> None:
    add_tasks(store, 3)
    engine.leave.set()
    engine.error = Invalid("dhcp_config_refused", "dnsmasq refuses it: line 3")
    with pytest.raises(Invalid):
        effects.apply(TASK)
    assert states(store) == ["failed"] * 3
    with store.session() as session:
        events = session.scalars(select(Event).where(Event.kind == "network.refused")).all()
    assert [event.message for event in events] == ["the network was not changed: dnsmasq refuses it: line 3"]


def test_what_can_not_be_reached_is_tried_again(effects: NetworkEffects, engine: CountingEngine, store: Store) -> None:
    add_tasks(store, 2)
    engine.leave.set()
    engine.error = Unavailable("engine_silent", "nobody is there")
    with pytest.raises(Unavailable):
        effects.apply(TASK)
    assert states(store) == ["pending"] * 2


def test_an_address_that_another_card_uses_is_not_given(
    effects: NetworkEffects, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    answers: set[str] = set()

    def answering(interface: str, address: str) -> set[str]:
        asked.append((interface, address))
        return answers

    monkeypatch.setattr(duplicates, "answering", answering)
    with store.write() as session:
        machine = Machine(
            name="node-1", interfaces=[Interface(mac="52:54:00:00:00:0a", address="10.99.0.10", boot=True, position=0)]
        )
        session.add(machine)
        session.flush()
        machine_id = machine.id
    effects.check_unused(machine_id)
    answers.add("52:54:00:00:00:0a")  # it runs, and has it already
    effects.check_unused(machine_id)
    answers.add("52:54:00:00:00:99")
    with pytest.raises(
        Conflict, match=r"10\.99\.0\.10, which is to be node-1's, is used already: 52:54:00:00:00:99 answered"
    ) as caught:
        effects.check_unused(machine_id)
    assert caught.value.code == "address_in_use"
    assert asked == [("lo", "10.99.0.10")] * 3


@pytest.mark.parametrize(
    ("deployed", "former", "asked"),
    [
        ({"image": ""}, "10.99.0.10", False),
        ({"image": ""}, "10.99.0.11", True),  # it is to have another
        (None, "10.99.0.10", True),  # it runs nothing that we know of
    ],
)
def test_the_bridge_or_bond_of_a_system_that_runs_is_not_taken_for_another_card(
    effects: NetworkEffects,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    deployed: dict[str, str] | None,
    former: str,
    asked: bool,
) -> None:
    monkeypatch.setattr(duplicates, "answering", lambda _interface, _address: {"02:00:00:00:00:b0"})
    with store.write() as session:
        card = Interface(mac="52:54:00:00:00:0a", address="10.99.0.10", boot=True, position=0)
        machine = Machine(name="node-1", state="releasing", deployed=deployed, interfaces=[card])
        session.add(machine)
        session.flush()
        parameters = {"former_address": former}
        operation = Operation(kind="release", machine_id=machine.id, from_state="deployed", parameters=parameters)
        session.add(operation)
        session.flush()
        machine.operation_id = operation.id
        machine_id = machine.id
    with pytest.raises(Conflict) if asked else nullcontext():
        effects.check_unused(machine_id)
