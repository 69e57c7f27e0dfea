# SPDX-License-Identifier: GPL-3.0-or-later
"""On PostgreSQL rows are locked one by one: those who meet at a machine wait for each other, and nobody for ever."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from metalwright.api.errors import answer, known
from metalwright.config import Settings
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Interface, Machine, Operation

DEPLOY = {"address": "dhcp", "record": {"image": "debian/12"}}


@pytest.fixture
def store(postgres_store: Store) -> Store:
    """All of the controller works on PostgreSQL here."""
    return postgres_store


def machine_of(name: str) -> Machine:
    interface = Interface(mac=f"52:54:00:00:00:0{name[-1]}", boot=True)
    return Machine(name=name, state="ready", hardware={"disks": []}, interfaces=[interface])


def start(store: Store, engine: Engine, name: str, kind: str, parameters: dict[str, Any]) -> str:
    with store.write() as session:
        machine = machine_of(name)
        session.add(machine)
        session.flush()
        return engine.start(session, machine, kind, {**parameters, "hostname": name}, by="test").id


def begin(store: Store, thread: threading.Thread) -> None:
    """Start another transaction, up to where it waits for a lock or has ended."""
    thread.start()
    deadline = time.monotonic() + 30
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while thread.is_alive() and not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            assert time.monotonic() < deadline


@pytest.mark.parametrize("path", ["machines/node-1/abort", "machines/actions/abort", "operations/{operation}/abort"])
def test_an_abort_and_the_end_it_meets_do_not_wait_for_each_other(
    store: Store, engine: Engine, client: FlaskClient, path: str
) -> None:
    operation_id = start(store, engine, "node-1", "commission", {})
    body = {"machines": ["node-1"]} if "actions" in path else None
    said: list[Any] = []

    def abort() -> None:
        said.append(client.post(f"/api/v1/{path.format(operation=operation_id)}", json=body).json)

    aborting = threading.Thread(target=abort)
    with store.write() as session:
        operation = session.get_one(Operation, operation_id)
        engine.signal(session, operation, Signal.PROGRESS, {"message": "on its way"})
        begin(store, aborting)
        engine.signal(session, operation, Signal.POWER_FAILED, {"code": "bmc_unreachable", "message": "no answer"})
    aborting.join()
    refused = said[0]["items"][0]["error"] if body else said[0]
    assert refused["code"] == "operation_ended"
    with store.session() as session:
        assert session.get_one(Operation, operation_id).state == "failed"


def test_installations_that_begin_at_the_same_moment_keep_to_the_limit(store: Store, settings: Settings, clock: Any) -> None:
    engine = Engine(settings.model_copy(update={"limits": settings.limits.model_copy(update={"installs": 1})}), clock)
    second = threading.Thread(target=start, args=(store, engine, "node-2", "deploy", DEPLOY))
    with store.write() as session:
        machine = machine_of("node-1")
        session.add(machine)
        session.flush()
        engine.start(session, machine, "deploy", {**DEPLOY, "hostname": "node-1"}, by="test")
        session.flush()
        begin(store, second)
    second.join()
    with store.session() as session:
        assert sorted(session.scalars(select(Operation.state))) == ["queued", "running"]


def test_who_loses_a_deadlock_is_told_to_try_again(store: Store, app: Flask) -> None:
    with store.write() as session:
        session.add_all([Machine(name="a", state="ready"), Machine(name="b", state="ready")])
    losers: list[DBAPIError] = []
    both = threading.Barrier(2)

    def lock(*names: str) -> None:
        try:
            with store.write() as session:
                session.scalar(select(Machine).where(Machine.name == names[0]).with_for_update(of=Machine))
                both.wait(30)
                session.scalar(select(Machine).where(Machine.name == names[1]).with_for_update(of=Machine))
        except DBAPIError as error:
            losers.append(error)

    threads = [threading.Thread(target=lock, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (loser,) = losers
    with app.test_request_context():
        response = answer(known(loser))
    told: Any = response.json
    assert (response.status_code, told["code"], response.headers["Retry-After"]) == (503, "database_busy", "1")
