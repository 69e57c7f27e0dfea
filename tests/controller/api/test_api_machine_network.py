# SPDX-License-Identifier: GPL-3.0-or-later
"""``/machines/<name>/network``: declared as one document, refused as one, in effect with the next deployment."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.store import Store
from metalwright.store.models import Event, Interface, IpRange, Machine, Operation, Subnet, Task, Vlan

BOND = {"name": "bond0", "type": "bond", "members": ["eth0", "eth1"], "links": [{"mode": "auto"}]}
STORAGE = {"mode": "auto", "subnet": "storage"}
TAGGED = {"name": "bond0.42", "type": "vlan", "parent": "bond0", "vlan": "storage", "links": [STORAGE]}
URL = "/api/v1/machines/node-1/network"


@pytest.fixture
def machine(store: Store) -> str:
    disks = [{"name": "vda", "size_bytes": 8 << 30, "rotational": False, "removable": False}]
    with store.write() as session:
        static = [IpRange(kind="static", start=f"10.{net}.0.10", end=f"10.{net}.0.19") for net in (0, 42)]
        boot = Subnet(name="boot", cidr="10.0.0.0/24", ranges=static[:1])
        storage = Subnet(name="storage", cidr="10.42.0.0/24", ranges=static[1:], vlan=Vlan(name="storage", vid=42), dhcp=False)
        machine = Machine(name="node-1", state="ready", hardware={"schema": 1, "disks": disks})
        machine.interfaces = [
            Interface(mac=f"52:54:00:00:00:0{place}", name=f"eth{place}", position=place, boot=place == 0) for place in range(2)
        ]
        session.add_all([boot, storage, machine])
        session.flush()
        return machine.id


def put(client: FlaskClient, *interfaces: dict[str, Any], status: int = 200, dry: bool = False) -> Any:
    answer = client.put(URL, json={"interfaces": interfaces}, query_string={"dry_run": "true"} if dry else {})
    assert answer.status_code == status, answer.text
    return answer.json


def test_it_is_declared_as_a_whole_and_a_second_time_changes_nothing(client: FlaskClient, store: Store, machine: str) -> None:
    assert client.get(URL).json == {
        "machine": "node-1",
        "interfaces": [],
        "addresses": [],
        "pending": False,
        "problem": None,
    }
    declared = put(client, BOND, TAGGED)
    assert declared["changed"]
    assert declared["interfaces"] == [BOND, TAGGED]
    assert declared["addresses"] == [
        {"interface": "bond0", "subnet": "boot", "address": "10.0.0.10", "main": True},
        {"interface": "bond0.42", "subnet": "storage", "address": "10.42.0.10", "main": False},
    ]
    again = put(client, BOND, TAGGED)
    assert again == {**declared, "changed": False}
    assert client.get(URL).json == {key: value for key, value in again.items() if key != "changed"}
    with store.session() as session:
        assert [event.kind for event in session.query(Event)] == ["machine.network"]
        assert session.query(Task).filter_by(kind="network.apply").count() == 1
    assert put(client)["addresses"] == [{"interface": "eth0", "subnet": "boot", "address": "10.0.0.10", "main": True}]


def test_a_dry_run_tells_the_addresses_and_leaves_none(client: FlaskClient, store: Store, machine: str) -> None:
    assert put(client, BOND, TAGGED, dry=True)["addresses"][1]["address"] == "10.42.0.10"
    with store.session() as session:
        assert (session.get_one(Machine, machine).network, session.query(Event).count()) == ([], 0)


def test_what_does_not_hold_is_refused_as_a_whole(client: FlaskClient, machine: str) -> None:
    put(client, BOND)
    refused = put(client, BOND, {**TAGGED, "mtu": 9000}, status=422)
    assert (refused["code"], refused["details"]["clash"]) == ("mtu_too_large", ["bond0.42 (9000)", "bond0 (1500)"])
    assert put(client, {**BOND, "stp": True}, status=422)["code"] == "invalid_request"
    assert client.get(URL).json["interfaces"] == [BOND]


def test_its_addresses_are_told_and_keep_their_subnet(client: FlaskClient, machine: str) -> None:
    put(client, BOND, TAGGED)
    used = {each["address"]: each["machine"] for each in client.get("/api/v1/addresses").json["items"]}
    assert used == {"10.0.0.10": "node-1", "10.42.0.10": "node-1"}
    reserved = client.post("/api/v1/reservations", json={"mac": "52:54:00:00:00:01", "address": "10.42.0.10"})
    assert (reserved.status_code, reserved.json["code"], reserved.json["details"]["machine"]) == (409, "address_taken", "node-1")
    kept = client.delete("/api/v1/subnets/storage")
    assert (kept.status_code, kept.json["details"]["machines"]) == (409, ["node-1"])
    put(client, BOND)
    assert client.delete("/api/v1/subnets/storage").status_code == 204


def test_it_is_not_changed_while_an_operation_runs(client: FlaskClient, store: Store, engine: Engine, machine: str) -> None:
    with store.write() as session:
        engine.start(session, session.get_one(Machine, machine), "commission", {}, by="test")
    assert put(client, BOND, status=409)["code"] == "machine_busy"


def test_a_machine_that_runs_keeps_its_addresses_until_it_is_deployed_again(
    client: FlaskClient, store: Store, engine: Engine, image: str, machine: str
) -> None:
    put(client, BOND, TAGGED)
    deploy(client, store, engine, machine)
    assert client.get(URL).json["pending"] is False
    assert shown(client)["deployed"]["network"] == [BOND, TAGGED]
    assert shown(client)["deployed"]["address"] == "10.0.0.10"
    fixed = {**TAGGED, "links": [{"mode": "static", "address": "10.42.0.17"}]}
    changed = put(client, {**BOND, "links": []}, fixed)
    assert changed["pending"] is True
    assert [each["address"] for each in changed["addresses"]] == ["10.42.0.17"]
    assert shown(client)["deployed"]["address"] == "10.0.0.10"
    wish = {"state": "deployed", "image": "debian/12"}
    drift = client.post("/api/v1/machines/node-1/converge", json=wish).json
    assert (drift["code"], list(drift["details"]["differences"])) == ("drift", ["network"])
    again = client.post("/api/v1/machines/node-1/converge", json={**wish, "on_drift": "redeploy"}).json
    finish(store, engine, again["operation"]["id"])
    assert client.get(URL).json["pending"] is False
    assert shown(client)["deployed"]["address"] == "10.42.0.17"
    with store.session() as session:
        assert [row.address for row in session.get_one(Machine, machine).addresses] == ["10.42.0.17"]


def test_a_card_that_has_gone_is_told_and_refuses_the_deployment(
    client: FlaskClient, store: Store, image: str, machine: str
) -> None:
    put(client, BOND)
    client.patch("/api/v1/machines/node-1", json={"macs": ["52:54:00:00:00:00"]})
    assert client.get(URL).json["problem"]["code"] == "interface_unknown"
    refused = client.post("/api/v1/machines/node-1/deploy", json={"image": "debian/12"})
    assert (refused.status_code, refused.json["code"]) == (422, "interface_unknown")
    assert refused.json["details"]["clash"] == ["bond0", "eth1"]
    with store.session() as session:
        assert session.query(Operation).count() == 0


def test_a_deployment_takes_no_address_beside_a_declared_network(client: FlaskClient, image: str, machine: str) -> None:
    put(client, BOND)
    refused = client.post("/api/v1/machines/node-1/deploy", json={"image": "debian/12", "address": "10.0.0.15"})
    assert (refused.status_code, refused.json["code"]) == (409, "network_declared")


def shown(client: FlaskClient) -> Any:
    return client.get("/api/v1/machines/node-1").json


def deploy(client: FlaskClient, store: Store, engine: Engine, machine: str) -> None:
    answer = client.post("/api/v1/machines/node-1/deploy", json={"image": "debian/12"})
    assert answer.status_code == 202, answer.text
    finish(store, engine, answer.json["operation"]["id"])


def finish(store: Store, engine: Engine, operation_id: str) -> None:
    """Let an operation go through all of its phases."""
    with store.write() as session:
        operation = session.get_one(Operation, operation_id)
        while operation.state == "running" and operation.phase:
            engine.signal(session, operation, OPERATIONS[operation.kind].phase(operation.phase).until)
        assert operation.state == "succeeded"
