# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools: what is in them, and how a release of a machine in one erases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Machine, Operation

AddMachine = Callable[..., str]


def put(client: FlaskClient, name: str, **body: Any) -> Any:
    answer = client.put(f"/api/v1/pools/{name}", json=body)
    assert answer.status_code == 200, answer.json
    return answer.json


def test_pools_are_those_that_were_set_and_those_that_machines_are_in(client: FlaskClient, add_machine: AddMachine) -> None:
    add_machine("a", pool="lab")
    add_machine("b", pool="lab")
    add_machine("c", "new")
    assert put(client, "vault", erase="secure", description="for keys")["changed"]
    assert not put(client, "vault", erase="secure", description="for keys")["changed"]
    first = client.get("/api/v1/pools?limit=2").json
    rest = client.get("/api/v1/pools", query_string={"cursor": first["next"]}).json
    found = {pool["name"]: pool for pool in first["items"] + rest["items"]}
    assert list(found) == ["default", "lab", "vault"]
    assert found["lab"] == {"name": "lab", "description": "", "erase": "quick", "defined": False, "machines": {"ready": 2}}
    assert found["default"]["machines"] == {"new": 1}
    assert client.get("/api/v1/pools/vault").json["machines"] == {}
    assert client.get("/api/v1/pools?fields=name,erase&limit=1").json["items"] == [{"name": "default", "erase": "quick"}]
    assert client.get("/api/v1/pools/none").status_code == 404


def test_a_pool_with_machines_in_it_is_not_deleted_because_they_would_be_erased_otherwise(
    client: FlaskClient, add_machine: AddMachine
) -> None:
    add_machine("a", pool="vault")
    put(client, "vault", erase="full")
    refused = client.delete("/api/v1/pools/vault")
    assert refused.status_code == 409 and refused.json["code"] == "pool_in_use"
    client.patch("/api/v1/machines/a", json={"pool": "default"})
    assert client.delete("/api/v1/pools/vault?dry_run=true").status_code == 204
    assert client.delete("/api/v1/pools/vault").status_code == 204
    assert client.delete("/api/v1/pools/vault").status_code == 404


@pytest.mark.parametrize(("name", "body"), [("a", {"erase": "twice"}), ("-a", {}), ("a b", {})])
def test_nonsense_is_refused(client: FlaskClient, name: str, body: Any) -> None:
    assert client.put(f"/api/v1/pools/{name}", json=body).status_code == 422


@pytest.fixture
def erases(store: Store) -> Callable[[str], str]:
    """How the release under way on a machine erases."""

    def erases(name: str) -> str:
        with store.session() as session:
            machine = session.query(Machine).filter_by(name=name).one()
            operation = session.get_one(Operation, machine.operation_id)
            assert operation.kind == "release"
            found: str = operation.parameters["erase"]
            return found

    return erases


def test_a_release_erases_as_the_pool_says_unless_it_says_itself(
    client: FlaskClient, add_machine: AddMachine, erases: Callable[[str], str]
) -> None:
    put(client, "vault", erase="secure")
    names = ("one", "said", "converged", "bulk", "elsewhere")
    for name in names:
        add_machine(name, "ready" if name == "elsewhere" else "failed", failed_from="releasing", pool="vault")
    assert client.post("/api/v1/machines/one/release").status_code == 202
    assert client.post("/api/v1/machines/said/release", json={"erase": "quick"}).status_code == 202
    assert client.post("/api/v1/machines/converged/converge", json={"state": "ready"}).status_code == 202
    assert client.post("/api/v1/machines/actions/release", json={"machines": ["bulk"]}).json["failed"] == 0
    client.patch("/api/v1/machines/elsewhere", json={"pool": "other"})
    assert client.post("/api/v1/machines/elsewhere/release").status_code == 202
    assert [erases(name) for name in names] == ["secure", "quick", "secure", "secure", "quick"]
    put(client, "vault", erase="full")
    assert erases("one") == "secure"  # what is under way stays as it began


def test_a_release_that_follows_another_operation_goes_by_the_pool_of_that_moment(
    client: FlaskClient, add_machine: AddMachine, store: Store, engine: Engine, erases: Callable[[str], str]
) -> None:
    identifier = add_machine("a")
    with store.write() as session:
        machine = session.get_one(Machine, identifier)
        first = engine.start(session, machine, "test", {}, by="x", then=[{"kind": "release", "parameters": {}}])
    put(client, "default", erase="full")
    with store.write() as session:
        operation = session.get_one(Operation, first.id)
        for signal in (Signal.POWER_DONE, Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE, Signal.POWER_DONE):
            engine.signal(session, operation, signal)
    assert erases("a") == "full"
