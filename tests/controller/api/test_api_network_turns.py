# SPDX-License-Identifier: GPL-3.0-or-later
"""Two changes that would each be fine and together clash: on PostgreSQL one waits for the other and is then refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from metalwright.network import in_use, leases_seen
from metalwright.network.addresses import ensure_address
from metalwright.network.changing import alone, unchanged
from metalwright.store import Store
from metalwright.store.models import Domain, Interface, IpRange, Lease, Machine, Record, Subnet, Task

SUBNET = {"name": "lab", "cidr": "10.0.0.0/24"}
MAC = "52:54:00:aa:00:01"


@pytest.fixture
def store(postgres_store: Store) -> Store:
    """All of the controller works on PostgreSQL here."""
    return postgres_store


def beside(store: Store, ask: Callable[[], Any]) -> Callable[[], Any]:
    """Begin a request in a thread, up to where it waits for a lock; answers what to call for its answer."""
    said: list[Any] = []
    thread = threading.Thread(target=lambda: said.append(ask()))
    thread.start()
    deadline = time.monotonic() + 30
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while thread.is_alive() and not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            assert time.monotonic() < deadline

    def told() -> Any:
        thread.join()
        return said[0]

    return told


def test_subnets_that_overlap(store: Store, client: FlaskClient) -> None:
    with store.write() as session:
        alone(session)
        told = beside(store, lambda: client.post("/api/v1/subnets", json=SUBNET))
        session.add(Subnet(name="wide", cidr="10.0.0.0/16"))
    assert told().json["message"] == "10.0.0.0/24 overlaps 10.0.0.0/16 of subnet wide."


def test_ranges_that_overlap(store: Store, client: FlaskClient) -> None:
    assert client.post("/api/v1/subnets", json=SUBNET).status_code == 201
    body = {"subnet": "lab", "kind": "static", "start": "10.0.0.15", "end": "10.0.0.25"}
    with store.write() as session:
        alone(session)
        told = beside(store, lambda: client.post("/api/v1/ranges", json=body))
        subnet = session.scalars(select(Subnet)).one()
        subnet.ranges.append(IpRange(kind="dynamic", start="10.0.0.10", end="10.0.0.20"))
    assert told().json["message"] == "The dynamic range 10.0.0.10 to 10.0.0.20 overlaps the static range 10.0.0.15 to 10.0.0.25."


def test_aliases_that_make_a_circle(store: Store, client: FlaskClient) -> None:
    with store.write() as session:
        lab = Domain(name="lab.example")
        session.add(lab)
    body = {"domain": "lab.example", "name": "a", "type": "CNAME", "data": "b"}
    with store.write() as session:
        alone(session)
        told = beside(store, lambda: client.post("/api/v1/records", json=body))
        session.add(Record(domain_id=lab.id, name="b", type="CNAME", data="a.lab.example"))
    assert told().json["code"] == "alias_loop"


def test_a_name_for_a_machine_and_a_record(store: Store, client: FlaskClient) -> None:
    body = {"domain": "metalwright.internal", "name": "web", "type": "A", "data": "10.0.0.5"}
    with store.write() as session:
        unchanged(session)
        with store.write() as another:  # machines do not wait for each other
            unchanged(another)
        told = beside(store, lambda: client.post("/api/v1/records", json=body))
        session.add(Machine(name="web"))
    assert told().json["code"] == "name_taken"


def test_an_address_for_a_machine_and_a_reservation(store: Store, client: FlaskClient) -> None:
    static = {"kind": "static", "start": "10.0.0.10", "end": "10.0.0.10"}
    assert client.post("/api/v1/subnets", json={**SUBNET, "ranges": [static]}).status_code == 201
    with store.write() as session:
        session.add(Machine(name="web", interfaces=[Interface(mac="52:54:00:cc:00:01", boot=True)]))
    with store.write() as session:
        machine = session.scalars(select(Machine)).one()
        assert ensure_address(session, machine) == "10.0.0.10"
        told = beside(store, lambda: client.post("/api/v1/reservations", json={"mac": MAC, "address": "10.0.0.10"}))
    assert told().json["code"] == "address_taken"


def test_a_change_that_is_on_its_way_takes_the_next_one_along_only_while_nobody_carries_it(
    store: Store, client: FlaskClient
) -> None:
    assert client.post("/api/v1/subnets", json=SUBNET).status_code == 201
    with store.write() as session:
        session.scalars(select(Task).with_for_update()).one()  # somebody is about to begin it
        assert client.patch("/api/v1/subnets/lab", json={"enlist": True}).status_code == 200
    with store.session() as session:
        assert len(session.scalars(select(Task)).all()) == 2


@pytest.mark.parametrize("which", ["sqlite", "postgresql"])
def test_leases_are_told_again_and_again(
    which: str, request: pytest.FixtureRequest, store: Store, clock: Any, migrated: Any
) -> None:
    found = store if which == "postgresql" else Store(f"sqlite:///{migrated}")
    now, hour = clock(), timedelta(hours=1)
    with found.write() as session:
        leases_seen.seen(session, "10.0.0.140", MAC, now + hour, now)
        leases_seen.seen(session, "10.0.0.141", None, None, now)
    with found.write() as session:
        leases_seen.seen(session, "10.0.0.140", MAC, now + 1.5 * hour, now + hour / 2)  # renewed
        leases_seen.seen(session, "10.0.0.141", None, None, now + hour)
        assert {row.address: row.since for row in session.scalars(select(Lease))} == {"10.0.0.140": now, "10.0.0.141": now}
    with found.write() as session:
        leases_seen.seen(session, "10.0.0.140", MAC, now + 3 * hour, now + 2 * hour)  # after its end
        leases_seen.seen(session, "10.0.0.141", MAC, None, now + 2 * hour)  # to another
    with found.write() as session:
        assert {(row.address, row.since) for row in session.scalars(select(Lease))} == {
            ("10.0.0.140", now + 2 * hour),
            ("10.0.0.141", now + 2 * hour),
        }
        leases_seen.ended(session, "10.0.0.141")
        leases_seen.ended(session, "10.0.0.99")
        assert [str(each.address) for each in in_use.read(session, now + 2 * hour)] == ["10.0.0.140"]
        assert in_use.read(session, now + 3 * hour) == []
        leases_seen.ended(session, "10.0.0.140")
