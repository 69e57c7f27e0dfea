# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines and what happens to their operations, for the tests of the engine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.states import State
from metalwright.store import Store
from metalwright.store.models import Interface, Machine, Operation, Task

HARDWARE = {"disks": [{"name": "vda", "size_bytes": 8 << 30}]}
RECORD = {"image": "debian/12", "hostname": "web-1"}


def add_machine(store: Store, name: str = "node-1", state: State = State.READY) -> str:
    with store.write() as session:
        machine = Machine(name=name, state=state, hardware=HARDWARE if state != State.NEW else None)
        machine.interfaces = [Interface(mac=f"52:54:00:00:00:{len(name):02x}", boot=True)]
        session.add(machine)
        session.flush()
        return machine.id


def start(store: Store, engine: Engine, machine_id: str, kind: str, **parameters: Any) -> str:
    if kind == "deploy":
        parameters = {"address": "dhcp", "hostname": "web-1", "record": RECORD, **parameters}
    with store.write() as session:
        return engine.start(session, session.get_one(Machine, machine_id), kind, parameters, by="test").id


def tell(store: Store, engine: Engine, operation_id: str, *signals: Signal, **data: Any) -> Operation:
    for signal in signals:
        with store.write() as session:
            engine.signal(session, session.get_one(Operation, operation_id), signal, data)
    return look(store, operation_id)


def carry_out(store: Store) -> None:
    """The workers have done what is in the outbox."""
    with store.write() as session:
        session.execute(update(Task).where(Task.state == "pending").values(state="done"))


def look(store: Store, operation_id: str) -> Operation:
    with store.session() as session:
        return session.get_one(Operation, operation_id)


DEPLOY = (Signal.POWER_DONE, Signal.BOOT_SCRIPT, Signal.HELLO, Signal.PROGRESS, Signal.JOB_DONE, Signal.DEPLOYED)
