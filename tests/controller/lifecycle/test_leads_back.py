# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployed machine that is deployed again can go back to what it was: nobody else takes its name or address meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from metalwright.errors import Conflict
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Event, Interface, IpRange, Machine, Operation, Subnet, Task

DISK = {"disks": [{"name": "vda", "size_bytes": 8 << 30}]}
DEPLOYED = (Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE, Signal.DEPLOYED)

Deploy = Callable[..., str]


@pytest.fixture
def machines(store: Store, engine: Engine) -> Deploy:
    """Two machines on a subnet with room for three; returns what deploys one, to the end if it is told ``deployed``."""
    with store.write() as session:
        ranges = [IpRange(kind="static", start="10.0.0.20", end="10.0.0.22")]
        subnet = Subnet(name="lab", cidr="10.0.0.0/24", ranges=ranges)
        for number, name in enumerate(("a", "b")):
            card = Interface(mac=f"52:54:00:00:00:0{number}", boot=True, subnet=subnet)
            session.add(Machine(name=name, state="ready", hardware=DISK, interfaces=[card]))

    def deploy(name: str, hostname: str, address: str, *, deployed: bool = False) -> str:
        record = {"image": "debian/12", "hostname": hostname, "address": address}
        parameters = {"hostname": hostname, "address": address, "record": record, "redeploy": True}
        with store.write() as session:
            operation = engine.start(session, found(session, name), "deploy", parameters, by="test")
        for signal in DEPLOYED if deployed else ():
            with store.write() as session:
                engine.signal(session, session.get_one(Operation, operation.id), signal)
        return operation.id

    return deploy


def found(session: Any, name: str) -> Machine:
    machine: Machine = session.scalars(select(Machine).where(Machine.name == name)).one()
    return machine


def stands(store: Store, name: str) -> tuple[str, str | None, str | None]:
    with store.session() as session:
        machine = found(session, name)
        return machine.state, machine.hostname, machine.interfaces[0].address


def test_neither_name_nor_address_is_given_away_while_it_may_go_back(store: Store, engine: Engine, machines: Deploy) -> None:
    machines("a", "www", "10.0.0.20", deployed=True)
    operation = machines("a", "web", "10.0.0.21")
    for hostname, address in (("www", "dhcp"), ("other", "10.0.0.20")):
        with pytest.raises(Conflict) as refused:
            machines("b", hostname, address)
        assert "a" in (refused.value.details.get("machine"), refused.value.details.get("holder"))
    machines("b", "other", "auto", deployed=True)
    assert stands(store, "b")[2] == "10.0.0.22"
    with store.write() as session:
        engine.abort(session, session.get_one(Operation, operation), by="test")
    assert stands(store, "a") == ("deployed", "www", "10.0.0.20")
    assert machines("b", "web", "10.0.0.21")


def test_once_it_is_deployed_anew_others_may_have_what_it_had(store: Store, machines: Deploy) -> None:
    machines("a", "www", "10.0.0.20", deployed=True)
    machines("a", "web", "dhcp", deployed=True)
    machines("b", "www", "10.0.0.20", deployed=True)
    assert stands(store, "b") == ("deployed", "www", "10.0.0.20")


def test_once_its_disk_was_written_others_may_have_what_it_had(store: Store, engine: Engine, machines: Deploy) -> None:
    machines("a", "www", "10.0.0.20", deployed=True)
    operation = machines("a", "web", "10.0.0.21")
    for signal in (Signal.BOOT_SCRIPT, Signal.HELLO):
        with store.write() as session:
            engine.signal(session, session.get_one(Operation, operation), signal)
    with store.write() as session:
        engine.abort(session, session.get_one(Operation, operation), by="test")
    assert stands(store, "a")[0] == "failed"
    machines("b", "www", "10.0.0.20", deployed=True)


def test_an_operation_whose_deadline_can_not_be_dealt_with_is_ended_all_the_same(
    store: Store, engine: Engine, machines: Deploy, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be looked at every second for ever, and hold its machine."""

    def breaks(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    operation = machines("a", "www", "10.0.0.20")
    with store.write() as session:
        session.execute(update(Task).values(state="done"))
    monkeypatch.setattr(engine, "_late", breaks)
    clock.advance(10_000)
    with store.write() as session:
        assert engine.reap(session) == 1
    with store.session() as session:
        ended = session.get_one(Operation, operation)
        assert (ended.state, (ended.failure or {})["code"]) == ("failed", "internal")
        assert session.scalars(select(Event.kind).where(Event.operation_id == operation)).all()[-1] == "operation.failed"
    assert stands(store, "a")[0] == "ready"
