# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines: added, found, changed, deleted; each wrong way answered."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from metalwright.store import Store
from metalwright.store.models import Event, Interface, Machine, Subnet, Task

MAC = "52:54:00:12:34:56"
IPMI = {"driver": "ipmi", "parameters": {"address": "10.0.0.5", "username": "admin", "password": "s3cret"}}


def post(client: FlaskClient, **body: Any) -> Any:
    response = client.post("/api/v1/machines", json={"macs": [MAC], **body})
    assert response.status_code == 201, response.json
    return response.json


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json["code"]) == (status, code), response.json
    return dict(response.json)


def rows(store: Store, *models: Any) -> list[int]:
    with store.session() as session:
        return [session.scalar(select(func.count()).select_from(model)) or 0 for model in models]


def stored(store: Store, name: str) -> Machine:
    with store.session() as session:
        return session.scalars(select(Machine).where(Machine.name == name)).one()


def test_a_machine_needs_a_mac_only(client: FlaskClient) -> None:
    machine = post(client, macs=["52-54-00-AB-cd-EF"])
    assert (machine["name"], machine["state"]) == ("m-525400abcdef", "new")
    assert [each["mac"] for each in machine["interfaces"]] == ["52:54:00:ab:cd:ef"]
    assert client.get(f"/api/v1/machines/{machine['id']}").json == machine
    assert client.get("/api/v1/machines/m-525400abcdef").json == machine


@pytest.mark.parametrize("mac", ["5254.0012.3456", "525400123456", "52-54-0-12-34-56", "52:54:00:12:34:5G"])
def test_macs_are_brought_to_one_form_or_refused(client: FlaskClient, mac: str) -> None:
    response = client.post("/api/v1/machines", json={"macs": [mac]})
    machine: Any = response.json
    if response.status_code == 201:
        assert machine["interfaces"][0]["mac"] == MAC
    else:
        assert mac in ("52-54-0-12-34-56", "52:54:00:12:34:5G")


@pytest.mark.parametrize("mac", ["", "none", "01:00:5e:00:00:01", "00:00:00:00:00:00", "52:54:00:12:34:56:78:9a"])
def test_what_is_no_mac_of_an_interface(client: FlaskClient, mac: str) -> None:
    refused(client.post("/api/v1/machines", json={"macs": [mac]}), 422, "invalid_request")


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a.b", "1234", "x" * 64, "ä"])
def test_names_are_host_names(client: FlaskClient, name: str) -> None:
    refused(client.post("/api/v1/machines", json={"macs": [MAC], "name": name}), 422, "invalid_request")


def test_a_mac_that_is_taken_names_who_has_it(client: FlaskClient) -> None:
    post(client, name="first", power=IPMI)
    error = refused(client.post("/api/v1/machines", json={"macs": ["52:54:00:00:00:01", MAC.upper()]}), 409, "mac_taken")
    assert error["details"] == {"mac": MAC, "machine": "first"}
    assert "announced itself" not in error["hint"]


def test_a_machine_that_announced_itself_may_be_the_one_meant(client: FlaskClient, store: Store) -> None:
    """One that a person added, however little is known of it, is never taken for it: two would share a name in turns."""
    post(client, name="announced")
    wished = {"macs": [MAC], "name": "mine"}
    assert "announced itself" not in refused(client.post("/api/v1/machines", json=wished), 409, "mac_taken")["hint"]
    with store.write() as session:
        session.scalars(select(Machine)).one().hardware = {"disks": []}
    assert "announced itself" in refused(client.post("/api/v1/machines", json=wished), 409, "mac_taken")["hint"]


def test_a_name_that_is_taken(client: FlaskClient, add_machine: Any) -> None:
    add_machine("web-1")
    add_machine("node-2", "deployed", hostname="web-2")
    refused(client.post("/api/v1/machines", json={"macs": [MAC], "name": "WEB-1"}), 409, "name_taken")
    error = refused(client.post("/api/v1/machines", json={"macs": [MAC], "name": "web-2"}), 409, "name_taken")
    assert error["details"]["machine"] == "node-2"


def test_power_parameters_are_checked_and_never_repeated(client: FlaskClient) -> None:
    power = {"driver": "ipmi", "parameters": {"addres": "10.0.0.5", "username": "admin", "password": "s3cret"}}
    response = client.post("/api/v1/machines", json={"macs": [MAC], "power": power})
    assert "addres" in refused(response, 422, "power_misconfigured")["message"]
    assert "s3cret" not in response.get_data(as_text=True)
    refused(client.post("/api/v1/machines", json={"macs": [MAC], "power": {"driver": "lever"}}), 422, "power_misconfigured")
    masked = {"driver": "ipmi", "parameters": {"address": "10.0.0.5", "username": "a", "password": "********"}}
    refused(client.post("/api/v1/machines", json={"macs": [MAC], "power": masked}), 422, "power_misconfigured")


def test_secrets_are_shown_nowhere(client: FlaskClient) -> None:
    machine = post(client, name="node-1", power=IPMI)
    assert machine["power"]["parameters"] == {"address": "10.0.0.5", "username": "admin", "password": "********"}
    for path in ("machines", "machines/node-1", "machines?fields=power", "events"):
        assert "s3cret" not in client.get(f"/api/v1/{path}").get_data(as_text=True)


def test_a_dry_run_of_adding_leaves_nothing(client: FlaskClient, store: Store) -> None:
    before = rows(store, Machine, Interface, Event, Task)
    response = client.post("/api/v1/machines?dry_run=true", json={"macs": [MAC], "name": "node-1"})
    assert (response.status_code, response.json and response.json["name"]) == (201, "node-1")
    assert response.headers["Metalwright-Dry-Run"] == "true"
    assert rows(store, Machine, Interface, Event, Task) == before
    refused(client.post("/api/v1/machines?dry_run=true", json={"macs": [MAC], "name": "-"}), 422, "invalid_request")


def test_a_change_says_whether_it_was_one(client: FlaskClient, store: Store) -> None:
    post(client, name="node-1", tags=["a"], power=IPMI)
    events = rows(store, Event)
    for body in ({"tags": ["a"]}, {"name": "NODE-1"}, {"power": IPMI}, {"macs": [MAC.upper()]}, {}):
        response: Any = client.patch("/api/v1/machines/node-1", json=body)
        assert (response.status_code, response.json["changed"]) == (200, False), body
    assert rows(store, Event) == events
    new = {**IPMI, "parameters": {**IPMI["parameters"], "password": "0ther"}}  # type: ignore[dict-item]
    changed: Any = client.patch("/api/v1/machines/node-1?dry_run=true", json={"power": new}).json
    assert changed["changed"] is True
    assert stored(store, "node-1").power_parameters["password"] == "s3cret"
    assert client.patch("/api/v1/machines/node-1", json={"power": new}).json["changed"] is True  # type: ignore[index]
    assert stored(store, "node-1").power_parameters["password"] == "0ther"


REDFISH = {
    "driver": "redfish",
    "parameters": {"address": "https://10.0.0.5", "username": "admin", "password": "s3cret", "verify": "/etc/ssl/bmc.pem"},
}
WEBHOOK = {
    "driver": "webhook",
    "parameters": {"on_url": "http://plug/on", "off_url": "http://plug/off", "headers": "X-Key: k3y", "secret": "s3cret"},
}
MASKS = {"password": "********", "secret": "********", "headers": "********"}


def masked(power: dict[str, Any], **change: Any) -> dict[str, Any]:
    """Power parameters as the API shows them, with a change."""
    masks = {name: mask for name, mask in MASKS.items() if name in power["parameters"]}
    return {"driver": power["driver"], "parameters": {**power["parameters"], **masks, **change}}


@pytest.mark.parametrize(
    ("power", "change"),
    [
        (IPMI, {}),
        (IPMI, {"username": "metalwright", "privilege_level": "operator"}),
        (REDFISH, {"system": "blade-2", "auth": "basic"}),
        (WEBHOOK, {}),
    ],
)
def test_asterisks_keep_the_secret(power: dict[str, Any], change: dict[str, Any], client: FlaskClient, store: Store) -> None:
    shown = post(client, name="node-1", power=power)["power"]
    assert shown["parameters"] == masked(power)["parameters"]
    answer: Any = client.patch("/api/v1/machines/node-1", json={"power": masked(power, **change)})
    assert (answer.status_code, answer.json["changed"]) == (200, bool(change)), answer.json
    assert stored(store, "node-1").power_parameters == {**power["parameters"], **change}


@pytest.mark.parametrize(
    ("power", "change"),
    [
        (IPMI, {"address": "10.0.0.6"}),
        (IPMI, {"port": 6230}),
        (REDFISH, {"address": "https://elsewhere.example"}),
        (REDFISH, {"verify": False}),
        (WEBHOOK, {"on_url": "http://elsewhere.example/on"}),
        (WEBHOOK, {"query_url": "http://elsewhere.example/{secret}"}),
        (WEBHOOK, {"on_body": "{secret}"}),
        (WEBHOOK, {"headers": "Host: elsewhere.example"}),
        (WEBHOOK, {"secret": "an0ther"}),
    ],
)
def test_a_secret_does_not_go_where_it_did_not_go_before(
    power: dict[str, Any], change: dict[str, Any], client: FlaskClient, store: Store
) -> None:
    post(client, name="node-1", power=power)
    response = client.patch("/api/v1/machines/node-1", json={"power": masked(power, **change)})
    error = refused(response, 422, "power_misconfigured")
    assert set(error["details"]["parameters"]) == MASKS.keys() & power["parameters"].keys() - change.keys()
    assert next(iter(change)) in error["message"]
    assert error["hint"] == "Give the secret itself."
    assert stored(store, "node-1").power_parameters == power["parameters"]
    whole = {"driver": power["driver"], "parameters": {**power["parameters"], **change}}
    assert client.patch("/api/v1/machines/node-1", json={"power": whole}).status_code == 200


def test_a_parameter_that_is_left_out_is_a_change_too(client: FlaskClient) -> None:
    post(client, name="node-1", power=REDFISH)
    power = masked(REDFISH)
    del power["parameters"]["verify"]
    refused(client.patch("/api/v1/machines/node-1", json={"power": power}), 422, "power_misconfigured")


def test_macs_are_replaced_and_those_that_stay_keep_their_address(client: FlaskClient, store: Store) -> None:
    post(client, name="node-1", macs=[MAC, "52:54:00:00:00:02"])
    with store.write() as session:
        session.scalars(select(Interface).where(Interface.mac == MAC)).one().address = "10.0.0.9"
    machine: Any = client.patch("/api/v1/machines/node-1", json={"macs": ["52:54:00:00:00:03", MAC]}).json
    assert [(each["mac"], each["boot"], each["address"]) for each in machine["interfaces"]] == [
        ("52:54:00:00:00:03", True, None),
        (MAC, False, "10.0.0.9"),
    ]


def test_null_is_not_a_value(client: FlaskClient) -> None:
    post(client, name="node-1")
    refused(client.patch("/api/v1/machines/node-1", json={"tags": None}), 422, "invalid_request")
    assert client.patch("/api/v1/machines/node-1", json={"firmware": None}).status_code == 200


def test_a_busy_machine_keeps_what_its_operation_goes_by(client: FlaskClient) -> None:
    post(client, name="node-1")
    operation: Any = client.post("/api/v1/machines/node-1/commission").json
    error = refused(client.patch("/api/v1/machines/node-1", json={"name": "other"}), 409, "machine_busy")
    assert error["details"]["operation"] == operation["operation"]["id"]
    refused(client.delete("/api/v1/machines/node-1?force=true"), 409, "machine_busy")
    assert client.patch("/api/v1/machines/node-1", json={"tags": ["busy"], "locked": True}).status_code == 200


def test_a_deployed_machine_keeps_its_macs_but_may_be_renamed(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1", "deployed", hostname="web-1")
    refused(client.patch("/api/v1/machines/node-1", json={"macs": ["52:54:00:00:00:99"]}), 409, "wrong_state")
    assert client.patch("/api/v1/machines/node-1", json={"name": "renamed"}).status_code == 200


@pytest.mark.parametrize(("state", "way_on"), [("rescue", "exit-rescue"), ("broken", "mark-fixed")])
@pytest.mark.parametrize("change", [{"macs": ["52:54:00:00:00:99"]}, {"arch": "arm64"}])
def test_what_is_installed_keeps_its_macs_whatever_is_done_to_the_machine(
    state: str, way_on: str, change: dict[str, Any], client: FlaskClient, store: Store, add_machine: Any
) -> None:
    """Its address goes with its MAC, and would be another machine's when this one runs its system again."""
    add_machine("node-1", state, former_state="deployed", hostname="web-1", deployed={"image": "debian/12"})
    with store.write() as session:
        session.scalars(select(Interface)).one().address = "10.0.0.9"
    error = refused(client.patch("/api/v1/machines/node-1", json=change), 409, "wrong_state")
    assert way_on in error["hint"]
    with store.session() as session:
        assert session.scalars(select(Interface)).one().address == "10.0.0.9"


def test_a_broken_machine_with_nothing_on_it_gets_another_card(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1", "broken", former_state="ready")
    assert client.patch("/api/v1/machines/node-1", json={"macs": ["52:54:00:00:00:99"]}).status_code == 200


def test_deleting_gives_back_names_and_addresses(client: FlaskClient, store: Store) -> None:
    machine = post(client, name="node-1")
    assert client.delete("/api/v1/machines/node-1?dry_run=true").status_code == 204
    assert client.get("/api/v1/machines/node-1").status_code == 200
    assert client.delete(f"/api/v1/machines/{machine['id']}").status_code == 204
    assert rows(store, Machine, Interface) == [0, 0]
    with store.session() as session:
        assert session.scalars(select(Task.kind).order_by(Task.id.desc())).first() == "network.apply"
        assert session.scalars(select(Event.kind).order_by(Event.id.desc())).first() == "machine.deleted"
    post(client, name="node-1")


def test_a_deployed_or_locked_machine_is_not_deleted_by_mistake(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1", "deployed")
    refused(client.delete("/api/v1/machines/node-1"), 409, "wrong_state")
    client.patch("/api/v1/machines/node-1", json={"locked": True})
    refused(client.delete("/api/v1/machines/node-1?force=true"), 409, "machine_locked")
    client.patch("/api/v1/machines/node-1", json={"locked": False})
    assert client.delete("/api/v1/machines/node-1?force=true").status_code == 204


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a", "b", "c"]),
        ("state=ready", ["a", "b"]),
        ("state=ready,new", ["a", "b", "c"]),
        ("state=ready&state=new", ["a", "b", "c"]),
        ("state=none", []),
        ("pool=gpu", ["b"]),
        ("zone=east", ["b"]),
        ("name=a&name=c", ["a", "c"]),
        ("tag=ssd", ["a", "b"]),
        ("tag=ssd&tag=big", ["b"]),
        ("tag=SSD", []),
        ("tag=ss", []),
        ("tag=%25", []),
        ("allocation=hadoop", []),
    ],
)
def test_filters(client: FlaskClient, add_machine: Any, query: str, names: list[str]) -> None:
    add_machine("a", tags=["ssd"])
    add_machine("b", tags=["big", "ssd"], pool="gpu", zone="east")
    add_machine("c", "new")
    page: Any = client.get(f"/api/v1/machines?{query}&fields=name").json
    assert page == {"items": [{"name": name} for name in names], "next": None}


def test_pages_follow_each_other(client: FlaskClient, add_machine: Any) -> None:
    for number in range(5):
        add_machine(f"n{number}")
    seen, cursor = [], ""
    while True:
        page: Any = client.get(f"/api/v1/machines?limit=2&fields=name{cursor}").json
        seen += [each["name"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
        if len(seen) == 2:
            assert client.delete("/api/v1/machines/n0").status_code == 204  # what goes between two pages shifts nothing
    assert seen == [f"n{number}" for number in range(5)]


def test_all_fields_are_answered_in_lists_too(client: FlaskClient, add_machine: Any, store: Store) -> None:
    deployed = {"image": "debian/12", "content_sha256": "a", "hostname": "web-1", "address": "auto"}
    identifier = add_machine("node-1", "deployed", deployed={**deployed, "at": "2026-11-21T12:00:00+00:00", "options": {}})
    with store.write() as session:
        subnet = Subnet(name="lab", cidr="10.0.0.0/24")
        session.get_one(Machine, identifier).interfaces[0].subnet = subnet
        session.get_one(Machine, identifier).interfaces[0].address = "10.0.0.7"
    page: Any = client.get("/api/v1/machines").json
    assert page["items"] == [client.get("/api/v1/machines/node-1").json]
    assert page["items"][0]["interfaces"][0]["subnet"] == "lab"
    assert page["items"][0]["deployed"]["address"] == "10.0.0.7"


def test_parts_of_the_inventory_are_fields(client: FlaskClient, add_machine: Any) -> None:
    system = {"vendor": "Dell", "serial": "{{ x }}"}
    add_machine("a", hardware={"system": system, "cpu": {"threads": 4}, "disks": [{"name": "sda"}]})
    add_machine("b", hardware=None)
    add_machine("c", hardware={"cpu": {"threads": 8}})

    def found(fields: str) -> list[Any]:
        page: Any = client.get(f"/api/v1/machines?fields={fields}").json
        return [each["hardware"] for each in page["items"]]

    only = found("hardware.system.serial,hardware.cpu.threads")
    assert only == [{"system": {"serial": "{{ x }}"}, "cpu": {"threads": 4}}, None, {"cpu": {"threads": 8}}]
    assert found("name,hardware.disks,hardware.disks.name")[0] == {"disks": [{"name": "sda"}]}
    assert found("hardware.system,hardware.system.serial")[0] == {"system": system}
    assert found("hardware,hardware.cpu")[0]["system"] == system
    page: Any = client.get("/api/v1/machines?fields=hardware.cpu.threads&limit=1").json
    assert page["items"] == [{"hardware": {"cpu": {"threads": 4}}}]
    assert page["next"] is not None


@pytest.mark.parametrize("fields", ["hardware.", "hardware.a..b", "hardware.$", "hardware.A", "hardwarex.y", "cpu.threads"])
def test_a_part_that_can_not_be_is_no_field(client: FlaskClient, fields: str) -> None:
    answer: Any = client.get(f"/api/v1/machines?fields={fields}")
    assert (answer.status_code, answer.json["code"]) == (422, "unknown_field")


def test_parts_of_the_inventory_are_not_endless(client: FlaskClient) -> None:
    answer: Any = client.get("/api/v1/machines?fields=" + ",".join(f"hardware.a{number}" for number in range(33)))
    assert (answer.status_code, answer.json["code"]) == (422, "too_many_parts")
