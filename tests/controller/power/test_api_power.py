# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers, validation and chassis over the API, with real services behind it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from paper_bmc import Bench
from redfish_service import PASSWORD, RedfishService
from sqlalchemy import select

from metalwright.config import Settings
from metalwright.store import Store
from metalwright.store.models import Event, Machine

HOST = """
<node>
  <domain type="test">
    <name>node_1</name><memory>1048576</memory>
    <os><type arch="aarch64">hvm</type><loader readonly="yes" type="pflash">/usr/share/AAVMF/AAVMF_CODE.fd</loader></os>
    <devices>
      <interface type="user"><mac address="52:54:00:00:00:21"/><boot order="2"/></interface>
      <interface type="user"><mac address="52:54:00:00:00:22"/><boot order="1"/></interface>
    </devices>
  </domain>
  <domain type="test">
    <name>bare</name><memory>1048576</memory><os><type arch="x86_64">hvm</type></os>
  </domain>
</node>
"""
"""A libvirt host of libvirt's own test driver."""


@pytest.fixture(scope="module")
def blades(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedfishService]:
    directory = tmp_path_factory.mktemp("redfish") / "blades"
    with RedfishService(directory, "rack1-a.example", "rack1-b", "rack2-a") as service:
        yield service


def add(client: FlaskClient, driver: str, parameters: dict[str, Any]) -> None:
    power = {"driver": driver, "parameters": parameters}
    answer = client.post("/api/v1/machines", json={"macs": ["52:54:00:00:00:01"], "name": "node-1", "power": power})
    assert answer.status_code == 201, answer.json


def validated(client: FlaskClient, **query: str) -> Any:
    answer = client.post("/api/v1/machines/node-1/validate", query_string=query)
    assert answer.status_code == 200
    return answer.json


def test_drivers_tell_what_they_need(client: FlaskClient) -> None:
    answer: Any = client.get("/api/v1/power/drivers").json
    found = {driver["name"]: driver for driver in answer["items"]}
    assert set(found) == {"ipmi", "libvirt", "manual", "redfish", "webhook", "wol"}
    parameters = {each["name"]: each for each in found["redfish"]["parameters"]}
    assert parameters["password"] | {"description": ""} == {
        "name": "password",
        "type": "string",
        "choices": [],
        "secret": True,
        "required": True,
        "default": None,
        "description": "",
    }
    assert parameters["auth"]["choices"] == ["auto", "session", "basic"]
    assert parameters["auth"]["default"] == "auto"
    assert not parameters["system"]["required"]
    assert {each["name"]: each["type"] for each in found["webhook"]["parameters"]}["query_url"] == "string"
    assert {name for name, driver in found.items() if driver["probes"]} == {"libvirt", "redfish"}
    assert {name for name, driver in found.items() if driver["answers"]} == {"ipmi", "libvirt", "redfish", "webhook"}
    for driver in found.values():
        assert driver["description"]
        assert all(each["description"] for each in driver["parameters"])
    first: Any = client.get("/api/v1/power/drivers?limit=4&fields=name").json
    second: Any = client.get("/api/v1/power/drivers", query_string={"limit": 4, "cursor": first["next"]}).json
    assert [each["name"] for each in first["items"] + second["items"]] == sorted(found)


def test_a_machine_that_works_is_told_so_with_its_state(client: FlaskClient, store: Store) -> None:
    with Bench() as bench:
        given = {"address": "127.0.0.1", "port": bench.port, "username": "admin", "password": "calvin"}
        add(client, "ipmi", given)
        assert validated(client) == {"driver": "ipmi", "ok": True, "problems": [], "state": "off"}
        assert validated(client, dry_run="true")["state"] is None
        assert bench.actions == []
    with store.session() as session:
        assert session.scalars(select(Machine)).one().power_state == "unknown"


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"address": "bmc.invalid"}, "bmc_unreachable", "does not resolve"),
        ({"port": 9}, "bmc_unreachable", "UDP port 9"),
        ({"password": "wrong"}, "bmc_auth_failed", "login"),
    ],
)
def test_what_is_wrong_is_said_within_fifteen_seconds(
    client: FlaskClient, store: Store, wrong: dict[str, Any], code: str, said: str
) -> None:
    with Bench() as bench:
        add(client, "ipmi", {"address": "127.0.0.1", "port": bench.port, "username": "admin", "password": "calvin", **wrong})
        started = time.monotonic()
        verdict = validated(client)
    assert time.monotonic() - started < 15
    assert (verdict["ok"], verdict["state"]) == (False, None)
    (problem,) = verdict["problems"]
    assert problem["code"] == code
    assert said in problem["message"]
    assert problem["hint"]
    assert "calvin" not in str(verdict)


def test_every_parameter_that_is_missing_or_wrong_is_named(client: FlaskClient, store: Store) -> None:
    with store.write() as session:
        parameters = {"address": "not a name", "port": 0, "password": "calvin and susie"}
        session.add(Machine(name="node-1", power_driver="ipmi", power_parameters=parameters))
    verdict = validated(client)
    assert not verdict["ok"]
    assert [problem["message"].partition(":")[0] for problem in verdict["problems"]] == ["address", "port", "username"]
    assert {problem["code"] for problem in verdict["problems"]} == {"power_misconfigured"}
    assert "calvin" not in str(verdict)


def test_all_machines_of_a_redfish_service_are_added_once(client: FlaskClient, store: Store, blades: RedfishService) -> None:
    body = {"driver": "redfish", "parameters": blades.parameters(), "name_filter": "rack1-*", "pool": "blue", "tags": ["new"]}
    tried: Any = client.post("/api/v1/chassis?dry_run=true", json=body).json
    assert tried["added"] == 2
    with store.session() as session:
        assert session.scalars(select(Machine)).all() == []
    client.post("/api/v1/machines", json={"macs": ["52:54:00:0b:02:02"], "name": "mine"})
    answer: Any = client.post("/api/v1/chassis", json=body).json
    assert [(each["name"], each["outcome"], each["machine"]) for each in answer["items"]] == [
        ("rack1-a.example", "added", "rack1-a"),
        ("rack1-b", "known", "mine"),
        ("rack2-a", "skipped", None),
    ]
    assert "rack1-*" in answer["items"][2]["reason"]
    machine: Any = client.get("/api/v1/machines/rack1-a").json
    assert machine["state"] == "new"
    assert (machine["pool"], machine["tags"], machine["firmware"]) == ("blue", ["new"], "uefi")
    assert [each["mac"] for each in machine["interfaces"] if each["boot"]] == ["52:54:00:0b:01:01"]
    assert machine["power"]["parameters"]["password"] == "********"
    assert client.post("/api/v1/machines/rack1-a/validate").json["ok"]  # type: ignore[index]
    with store.session() as session:
        assert session.scalar(select(Machine.power_lane).where(Machine.name == "rack1-a")) == "localhost"
        messages = session.scalars(select(Event.message).where(Event.kind == "machine.created")).all()
    assert any("rack1-a.example" in message for message in messages)
    again: Any = client.post("/api/v1/chassis", json={**body, "name_filter": "*"}).json
    assert {each["name"]: each["outcome"] for each in again["items"]} == {
        "rack1-a.example": "known",
        "rack1-b": "known",
        "rack2-a": "added",
    }


def test_a_name_that_is_taken_is_not_a_reason_to_leave_a_machine_out(client: FlaskClient, blades: RedfishService) -> None:
    client.post("/api/v1/machines", json={"macs": ["52:54:00:aa:00:01"], "name": "rack2-a"})
    body = {"driver": "redfish", "parameters": blades.parameters(), "name_filter": "rack2-*"}
    answer: Any = client.post("/api/v1/chassis", json=body).json
    assert [each["machine"] for each in answer["items"] if each["outcome"] == "added"] == ["m-5254000b0301"]


def test_an_odd_system_is_skipped_and_the_others_are_added(client: FlaskClient, tmp_path: Path) -> None:
    failing = ("000000000001/EthernetInterfaces", "Systems/00000000-0000-4000-8000-000000000002")
    with RedfishService(tmp_path / "blades", "no-cards", "nothing", "whole", failing=failing) as service:
        body = {"driver": "redfish", "parameters": service.parameters()}
        answer: Any = client.post("/api/v1/chassis", json=body).json
    assert [(each["name"], each["outcome"]) for each in answer["items"]] == [
        (service.ids["no-cards"], "skipped"),
        (service.ids["nothing"], "skipped"),
        ("whole", "added"),
    ]
    assert all("it answered 500" in each["reason"] for each in answer["items"][:2])


def test_the_domains_of_a_libvirt_host(client: FlaskClient, tmp_path: Path) -> None:
    host = tmp_path / "host.xml"
    host.write_text(HOST)
    body = {"driver": "libvirt", "parameters": {"uri": f"test://{host}"}}
    answer: Any = client.post("/api/v1/chassis", json=body).json
    assert [(each["name"], each["outcome"]) for each in answer["items"]] == [("bare", "skipped"), ("node_1", "added")]
    assert "no MAC address" in answer["items"][0]["reason"]
    machine: Any = client.get("/api/v1/machines/node-1").json
    assert machine["arch"] == "arm64"
    assert machine["firmware"] == "uefi"
    assert [each["mac"] for each in machine["interfaces"]] == ["52:54:00:00:00:22", "52:54:00:00:00:21"]
    assert machine["power"]["parameters"] == {"uri": f"test://{host}", "domain": "node_1"}
    assert validated(client)["state"] == "on"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"driver": "ipmi", "parameters": {}}, 422, "no_probe"),
        ({"driver": "telepathy"}, 422, "power_misconfigured"),
        ({"driver": "libvirt", "parameters": {"domain": "a"}}, 422, "power_misconfigured"),
        ({"driver": "libvirt", "parameters": {"uri": "qemu+ext:///system?comm%61nd=/tmp/program"}}, 422, "power_misconfigured"),
        ({"driver": "libvirt", "parameters": {"uri": "qemu+ssh://a/system?COMMAND=/tmp/program"}}, 422, "power_misconfigured"),
        ({"driver": "libvirt", "parameters": {"uri": "qemu+tcp://127.0.0.1:1/system"}}, 502, "bmc_unreachable"),
    ],
)
def test_an_address_that_can_not_be_probed(client: FlaskClient, body: dict[str, Any], status: int, code: str) -> None:
    answer = client.post("/api/v1/chassis", json=body)
    assert (answer.status_code, answer.json["code"]) == (status, code)  # type: ignore[index]
    assert answer.json["hint"]  # type: ignore[index]


def test_no_password_is_in_the_database_files(
    client: FlaskClient, store: Store, settings: Settings, blades: RedfishService
) -> None:
    secret = "a-plug's very own secret"
    client.post("/api/v1/chassis", json={"driver": "redfish", "parameters": blades.parameters()})
    power = {
        "driver": "webhook",
        "parameters": {"on_url": "http://plug/on", "off_url": "http://plug/off", "headers": f"X-Key: {secret}", "secret": secret},
    }
    assert client.post("/api/v1/machines", json={"macs": ["52:54:00:aa:00:02"], "power": power}).status_code == 201
    store.engine.dispose()
    with sqlite3.connect(settings.data_dir / "metalwright.db") as database:
        assert "rack1-b" in "\n".join(database.iterdump())
    files = list(Path(settings.data_dir).glob("metalwright.db*"))
    assert files
    for path in files:
        content = path.read_bytes()
        assert PASSWORD.encode() not in content
        assert secret.encode() not in content
