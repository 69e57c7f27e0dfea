# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that is converged, and what it goes through, for the tests of that."""

from __future__ import annotations

from typing import Any

import pytest

from metalwright.lifecycle import converge
from metalwright.lifecycle.converge import Outcome, Wish
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Image, Interface, Machine, Operation

HARDWARE = {"disks": [{"name": "vda", "size_bytes": 8 << 30}]}
DEPLOYED = {"state": "deployed", "image": "debian/12", "address": "dhcp"}
READY = {"state": "ready"}
ALLOCATED = {"state": "allocated", "allocation": "hadoop"}
TEST_FAILED = {"code": "test_failed", "message": "node-1: memory failed"}
SILENT = {"code": "agent_silent", "message": "node-1: the agent stopped reporting"}
ADOPTED = {"adopted": True, "image": "debian/12", "hostname": "old-1", "address": "dhcp", "options": {}}
DEPLOY = (Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE, Signal.DEPLOYED)
AGENT = (Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE, Signal.POWER_DONE)


@pytest.fixture
def machine(store: Store) -> str:
    with store.write() as session:
        session.add(Image(name="debian/12", content_sha256="a" * 64, firmware=["bios"]))
        session.add(Image(name="debian/13", content_sha256="b" * 64, firmware=["bios"]))
        machine = Machine(name="node-1", interfaces=[Interface(mac="52:54:00:00:00:01", boot=True)])
        session.add(machine)
        session.flush()
        return machine.id


def go(store: Store, engine: Engine, machine: str, wish: dict[str, Any], **more: Any) -> Outcome:
    with store.write() as session:
        found = session.get_one(Machine, machine)
        return converge.carry_out(session, engine, found, Wish.model_validate({**wish, **more}), by="test")


def put(store: Store, machine: str, state: str, **columns: Any) -> None:
    with store.write() as session:
        found = session.get_one(Machine, machine)
        found.state = state
        for name, value in columns.items():
            setattr(found, name, value)


def tell(store: Store, engine: Engine, machine: str, *signals: Signal) -> None:
    for signal in signals:
        with store.write() as session:
            found = session.get_one(Machine, machine)
            engine.signal(session, session.get_one(Operation, found.operation_id), signal)


def deploy(store: Store, engine: Engine, machine: str, **more: Any) -> None:
    put(store, machine, "ready", hardware=HARDWARE)
    go(store, engine, machine, DEPLOYED, **more)
    tell(store, engine, machine, *DEPLOY)
