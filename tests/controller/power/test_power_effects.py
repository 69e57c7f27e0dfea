# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outbox's power tasks do, against a BMC that speaks the real protocol, or none."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from paper_bmc import Bench
from sqlalchemy import select

from metalwright.config import Deadlines, Settings
from metalwright.lab.bmc import BootFlags
from metalwright.lifecycle.effects import Effects
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.power_settings import set_power
from metalwright.lifecycle.tasks import claim
from metalwright.lifecycle.worker import Worker
from metalwright.store import Store
from metalwright.store.models import Event, Machine, Operation


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(bench: Bench) -> None:
    bench.reset()


def ipmi(bench: Bench) -> dict[str, Any]:
    return {"address": "127.0.0.1", "port": bench.port, "username": "admin", "password": "calvin"}


class Rack:
    """One machine, and what is needed to carry out its tasks."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, clock: Any) -> None:
        self.store, self.engine, self.clock = store, engine, clock
        self.worker = Worker(store, engine, Effects(settings, store, clock).handlers(), owner="w", threads=1)

    def add(self, driver: str, parameters: dict[str, Any], **columns: Any) -> None:
        with self.store.write() as session:
            machine = Machine(**{"name": "node-1", "state": "ready", "hardware": {}, "firmware": "uefi", **columns})
            set_power(machine, driver, parameters)
            session.add(machine)

    def do(self, kind: str) -> None:
        """Start an operation and carry out its first task."""
        self.clock.advance(1)
        with self.store.write() as session:
            self.engine.start(session, session.scalars(select(Machine)).one(), kind, {}, by="test")
        task = claim(self.store, "w", self.clock(), 15)
        assert task is not None
        self.worker.carry_out(task)

    def machine(self) -> Machine:
        with self.store.session() as session:
            return session.scalars(select(Machine)).one()

    def operation(self) -> Operation:
        with self.store.session() as session:
            return session.scalars(select(Operation).order_by(Operation.created_at.desc())).first()  # type: ignore[return-value]

    def events(self, *kinds: str) -> list[str]:
        with self.store.session() as session:
            return list(session.scalars(select(Event.message).where(Event.kind.in_(kinds)).order_by(Event.id)))


@pytest.fixture
def rack(settings: Settings, store: Store, engine: Engine, clock: Any) -> Rack:
    return Rack(settings, store, engine, clock)


def test_a_machine_that_was_deployed_leaves_rescue_by_its_own_disk(rack: Rack, bench: Bench) -> None:
    bench.set("on", True)
    rack.add("ipmi", ipmi(bench), state="rescue", former_state="deployed", deployed={"image": "debian/12"})
    rack.do("exit-rescue")
    assert bench.boot_flags() == BootFlags("disk", persistent=False, uefi=True)
    assert bench.actions == ["reset"]
    assert rack.machine().state == "deployed"


@pytest.mark.parametrize("former", ["ready", "broken"])
def test_any_other_machine_leaves_rescue_by_being_turned_off(rack: Rack, bench: Bench, former: str) -> None:
    bench.set("on", True)
    rack.add("ipmi", ipmi(bench), state="rescue", former_state=former)
    rack.do("exit-rescue")
    assert bench.actions == ["off"]
    assert (rack.machine().state, rack.machine().power_state) == (former, "off")


def test_a_wrong_password_is_kept_with_the_machine_until_it_is_mended(rack: Rack, bench: Bench) -> None:
    rack.add("ipmi", {**ipmi(bench), "password": "wrong"})
    rack.do("power-on")
    failure = rack.machine().power_failure
    assert failure is not None
    assert failure["code"] == "bmc_auth_failed"
    assert "node-1" in failure["message"]
    assert failure["hint"]
    assert len(rack.events("power.unreachable")) == 1
    rack.do("power-query")
    assert len(rack.events("power.unreachable")) == 1
    with rack.store.write() as session:
        set_power(session.scalars(select(Machine)).one(), "ipmi", ipmi(bench))
    assert rack.machine().power_failure is None
    rack.do("power-query")
    assert rack.operation().state == "succeeded"


def test_a_bmc_that_says_yes_and_does_nothing_is_named_before_the_deadline_is(
    settings: Settings, store: Store, engine: Engine, clock: Any, bench: Bench
) -> None:
    bench.set("stuck", True)
    short = settings.model_copy(update={"deadlines": Deadlines(power=12)})
    rack = Rack(short, store, engine, clock)
    rack.add("ipmi", ipmi(bench))
    started = time.monotonic()
    rack.do("power-on")
    assert time.monotonic() - started < 12
    failure = rack.operation().failure or {}
    assert failure["code"] == "power_refused"
    assert "still off" in failure["message"]


def test_a_refusal_is_not_taken_for_a_bmc_that_can_not_be_asked(rack: Rack) -> None:
    rack.add("wol", {"mac": "52:54:00:12:34:56"})
    rack.do("power-off")
    assert rack.operation().failure is not None
    assert rack.operation().failure["code"] == "power_refused"  # type: ignore[index]
    assert rack.machine().power_failure is None
    assert rack.events("power.unreachable") == []


def test_a_machine_that_can_only_be_woken_is_woken_and_the_rest_is_left_to_people(rack: Rack) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(5)
        rack.add("wol", {"mac": "52:54:00:12:34:56", "broadcast": "127.0.0.1", "port": ear.getsockname()[1]}, state="new")
        rack.do("commission")
        assert ear.recv(2048).startswith(b"\xff" * 6)
    assert rack.operation().state == "running"
    assert "restart it if it runs" in rack.events("power.netboot")[0]
    with rack.store.write() as session:
        machine = session.scalars(select(Machine)).one()
        machine.state, machine.former_state, machine.operation_id = "rescue", "deployed", None
        machine.deployed = {"image": "debian/12"}
    rack.do("exit-rescue")
    assert rack.machine().state == "deployed"
    assert "restart it by hand" in rack.events("power.changed")[-1]


def test_machines_of_one_bmc_share_a_lane_and_others_have_none(rack: Rack, bench: Bench) -> None:
    rack.add("ipmi", ipmi(bench))
    assert rack.machine().power_lane == "127.0.0.1"
    for driver, parameters, lane in (
        ("redfish", {"address": "https://BMC-7.example:8443", "username": "a", "password": "b", "system": "1"}, "bmc-7.example"),
        ("libvirt", {"uri": "qemu+ssh://host/system", "domain": "a"}, "qemu+ssh://host/system"),
        ("webhook", {"on_url": "http://plug/on", "off_url": "http://other/off"}, "plug"),
        ("wol", {"mac": "52:54:00:12:34:56"}, None),
        ("manual", {}, None),
    ):
        with rack.store.write() as session:
            set_power(session.scalars(select(Machine)).one(), driver, parameters)
        assert rack.machine().power_lane == lane
