# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation that fails or is aborted does to the machine's power: one that was not touched is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from metalwright.config import Settings
from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lifecycle.effects import Effects
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.tasks import MAX_ATTEMPTS, claim
from metalwright.lifecycle.worker import Worker
from metalwright.power import PowerError
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Interface, Machine, Operation, Task

LEASE = 9.0
SYSTEM = {"image": "debian/12", "hostname": "www", "address": "10.0.0.7"}
REDEPLOY = {"address": "dhcp", "hostname": "www", "record": SYSTEM, "redeploy": True}
KINDS: list[tuple[str, dict[str, Any]]] = [("release", {}), ("rescue", {"ssh_keys": []}), ("deploy", REDEPLOY)]


class Room:
    """One machine that is turned on by hand, and a worker."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, clock: Any) -> None:
        self.store, self.engine, self.clock = store, engine, clock
        self.handlers = Effects(settings, store, clock).handlers()
        self.operation = ""

    def start(self, kind: str, parameters: dict[str, Any] | None = None, **machine: Any) -> None:
        with self.store.write() as session:
            card = Interface(mac="52:54:00:00:00:01", boot=True, address="10.0.0.7")
            stored = Machine(name="node-1", hardware={"disks": []}, interfaces=[card], **machine)
            session.add(stored)
            session.flush()
            self.operation = self.engine.start(session, stored, kind, parameters or {}, by="test").id

    def carry_out(self, handler: Callable[[Any], None] | None = None) -> None:
        """Do what the outbox has for the operation, by another handler than the real one if it is given."""
        claimed = claim(self.store, "w", self.clock(), LEASE)
        assert claimed is not None
        handlers = {claimed.kind: handler or self.handlers[claimed.kind]}
        Worker(self.store, self.engine, handlers, owner="w", threads=1).carry_out(claimed)

    def tell(self, *signals: Signal) -> None:
        for signal in signals:
            with self.store.write() as session:
                self.engine.signal(session, session.get_one(Operation, self.operation), signal)

    def abort(self) -> None:
        with self.store.write() as session:
            self.engine.abort(session, session.get_one(Operation, self.operation), by="ann")

    def ended(self) -> tuple[str, str]:
        """States of the operation and the machine."""
        with self.store.session() as session:
            operation = session.get_one(Operation, self.operation)
            return operation.state, operation.machine.state

    def power_calls(self) -> list[str]:
        """Those that are to be made now."""
        with self.store.session() as session:
            return list(session.scalars(select(Task.kind).where(Task.state == "pending", Task.kind.like("power.%"))))


@pytest.fixture
def room(settings: Settings, store: Store, engine: Engine, clock: Any) -> Room:
    return Room(settings, store, engine, clock)


def raising(error: Exception) -> Callable[[Any], None]:
    def handler(_task: Any) -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    "error",
    [
        Conflict("address_in_use", "10.0.0.7 is used already"),
        MetalwrightError("network_rolled_back", "the network was put back"),
        PowerError("bmc_unreachable", "no answer"),
        RuntimeError("a fault of ours"),
    ],
    ids=lambda error: getattr(error, "code", "internal"),
)
@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_one_that_was_never_turned_on_runs_on_when_its_operation_fails(
    room: Room, kind: str, parameters: dict[str, Any], error: Exception
) -> None:
    room.start(kind, parameters, state="deployed", deployed=SYSTEM, hostname="www")
    room.carry_out(raising(error))
    assert room.ended() == ("failed", "deployed")
    assert room.power_calls() == []


def test_one_whose_task_was_given_up_runs_on(room: Room) -> None:
    room.start("release", state="deployed", deployed=SYSTEM)
    with room.store.write() as session:
        session.scalars(select(Task)).one().attempt = MAX_ATTEMPTS
    room.carry_out()
    assert room.ended() == ("failed", "deployed")
    assert room.power_calls() == []


@pytest.mark.parametrize("machine", [{"state": "deployed"}, {"state": "broken", "former_state": "deployed"}])
def test_one_that_was_turned_on_and_never_came_goes_back_to_its_system(room: Room, machine: dict[str, str]) -> None:
    room.start("rescue", {"ssh_keys": []}, deployed=SYSTEM, **machine)
    for _ in range(room.engine.settings.deadlines.netboot_attempts):
        room.carry_out()
        room.clock.advance(room.engine.settings.deadlines.netboot + 1)
        with room.store.write() as session:
            room.engine.reap(session)
    assert room.ended() == ("failed", machine["state"])
    assert room.power_calls() == ["power.cycle"]


def test_one_that_was_turned_on_goes_back_although_its_bmc_refused_the_next_call(room: Room) -> None:
    room.start("release", state="deployed", deployed=SYSTEM)
    room.carry_out()
    room.clock.advance(room.engine.settings.deadlines.netboot + 1)
    with room.store.write() as session:
        room.engine.reap(session)
    room.carry_out(raising(PowerError("power_refused", "not now")))
    assert room.ended() == ("failed", "deployed")
    assert room.power_calls() == ["power.cycle"]


@pytest.mark.parametrize("state", ["deployed", "broken", "ready"])
def test_an_abort_before_a_worker_has_begun_leaves_the_machine_alone(room: Room, state: str) -> None:
    room.start("rescue", {"ssh_keys": []}, state=state, deployed=None if state == "ready" else SYSTEM)
    room.abort()
    assert room.ended() == ("aborted", state)
    assert room.power_calls() == []


def test_an_abort_while_a_worker_waits_to_try_again_leaves_the_machine_alone(room: Room) -> None:
    room.start("release", state="deployed", deployed=SYSTEM)
    room.carry_out(raising(Unavailable("lease_stuck", "wait")))
    room.abort()
    assert room.power_calls() == []


@pytest.mark.parametrize(
    ("machine", "call"),
    [
        ({"state": "deployed", "deployed": SYSTEM}, "power.cycle"),
        ({"state": "broken", "former_state": "deployed", "deployed": SYSTEM}, "power.cycle"),
        ({"state": "broken", "former_state": "ready"}, "power.off"),
        ({"state": "ready"}, "power.off"),
    ],
)
@pytest.mark.parametrize("meanwhile", [True, False], ids=["meanwhile", "afterwards"])
def test_an_abort_of_one_that_was_turned_on_sends_it_back_or_turns_it_off(
    room: Room, machine: dict[str, Any], call: str, meanwhile: bool
) -> None:
    room.start("rescue", {"ssh_keys": []}, **machine)
    room.carry_out((lambda _task: room.abort()) if meanwhile else None)
    if not meanwhile:
        room.abort()
    assert room.ended() == ("aborted", machine["state"])
    assert room.power_calls() == [call]


def test_an_abort_of_one_that_has_booted_by_itself_turns_it_off(room: Room) -> None:
    """Somebody has restarted it before its power task's turn came."""
    room.start("release", state="deployed", deployed=SYSTEM)
    with room.store.write() as session:
        operation = session.get_one(Operation, room.operation)
        record(session, "boot.script", "node-1 fetched the boot script", operation=operation, at=room.clock())
    room.tell(Signal.BOOT_SCRIPT, Signal.HELLO)
    room.abort()
    assert room.ended() == ("aborted", "failed")
    assert room.power_calls() == ["power.off"]
