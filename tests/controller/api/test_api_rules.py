# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules over the hardware, through the API: what they do when an inventory arrives, and what applying them again undoes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.lifecycle import rules
from metalwright.store import Store
from metalwright.store.base import utcnow
from metalwright.store.models import Event, Interface, Machine, Rule, Subnet, Task

AddMachine = Callable[..., str]

GIB = 1 << 30
HARDWARE: dict[str, Any] = {
    "schema": 1,
    "system": {"vendor": "Dell Inc.", "product": "PowerEdge R640", "serial": "ABC 123", "uuid": None, "sku": None},
    "firmware": {"type": "uefi"},
    "bmc": None,
    "chassis": {"vendor": "Dell Inc.", "type": "rack mount", "serial": "ENC-4", "asset_tag": ""},
    "cpu": {"model": "Xeon", "arch": "amd64", "threads": 64},
    "memory": {"bytes": 64 * GIB},
    "disks": [{"name": "sda", "size_bytes": 480 * 10**9, "rotational": False}],
    "nics": [{"name": "eno1", "mac": "52:54:00:00:00:01", "pci_id": "15b3:1017", "lldp": {"system": "leaf-1", "port": "Eth7"}}],
}


@pytest.fixture
def add(add_machine: AddMachine) -> AddMachine:
    """Adds a machine with an inventory."""

    def add(name: str, memory: int = 64, serial: str | None = "ABC 123", **columns: Any) -> str:
        hardware = copy.deepcopy(HARDWARE)
        hardware["memory"]["bytes"] = memory * GIB
        return add_machine(name, hardware=hardware, serial=serial, **columns)

    return add


def put(client: FlaskClient, name: str, when: str, dry_run: bool = False, position: int = 100, **actions: Any) -> Any:
    body = {"when": when, "actions": actions, "position": position}
    answer = client.put(f"/api/v1/rules/{name}", json=body, query_string={"dry_run": dry_run})
    assert answer.status_code == 200, answer.json
    return answer.json


def apply(client: FlaskClient, dry_run: bool = False, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/rules/apply", json=body, query_string={"dry_run": dry_run})
    assert answer.status_code == 200, answer.json
    return {item["machine"]: item for item in answer.json["items"]}


def arrive(store: Store, name: str, **more: Any) -> Machine:
    """What the node plane does with an inventory once it is stored."""
    with store.write() as session:
        machine = session.scalars(select(Machine).where(Machine.name == name)).one()
        rules.arrived(session, machine, utcnow(), **more)
    return machine


def change(store: Store, machine_name: str, **columns: Any) -> None:
    with store.write() as session:
        machine = session.scalars(select(Machine).where(Machine.name == machine_name)).one()
        for column, value in columns.items():
            setattr(machine, column, value)


def events(store: Store, *kinds: str) -> list[Event]:
    with store.session() as session:
        return list(session.scalars(select(Event).where(Event.kind.in_(kinds)).order_by(Event.id)))


def test_rules_are_put_listed_shown_changed_and_deleted(client: FlaskClient) -> None:
    first = put(client, "large", "memory >= 64GiB", add_tags=["large"])
    assert first["changed"] and first["matches"] == []
    assert not put(client, "large", "memory >= 64GiB", add_tags=["large"])["changed"]
    put(client, "first", "bmc", position=1, pool="lab")
    put(client, "again", "bmc", zone="west")
    pages = [client.get("/api/v1/rules?limit=2").json]
    pages.append(client.get("/api/v1/rules", query_string={"limit": 2, "cursor": pages[0]["next"]}).json)
    assert [[rule["name"] for rule in page["items"]] for page in pages] == [["first", "again"], ["large"]]
    assert client.get("/api/v1/rules/first").json["actions"] == {"pool": "lab"}
    assert client.delete("/api/v1/rules/first").status_code == 204
    assert client.get("/api/v1/rules/first").status_code == 404
    assert client.get("/api/v1/rules?cursor=WyJhIiwiYiJd").json["code"] == "bad_cursor"


def test_a_dry_run_says_who_would_match_and_stores_nothing(client: FlaskClient, add: AddMachine, store: Store) -> None:
    for name, memory in {"small": 8, "large": 64, "larger": 128}.items():
        add(name, memory)
    assert put(client, "large", "memory >= 64GiB", dry_run=True, pool="large")["matches"] == ["large", "larger"]
    assert client.get("/api/v1/rules/large").status_code == 404
    assert events(store, "rule.changed") == []
    put(client, "large", "memory >= 64GiB", pool="large")
    found = client.get("/api/v1/rules/large/matches?limit=1").json
    assert found["items"] == [{"machine": "large"}]
    rest = client.get("/api/v1/rules/large/matches", query_string={"cursor": found["next"]}).json
    assert rest == {"items": [{"machine": "larger"}], "next": None}
    assert client.get("/api/v1/machines/large").json["pool"] == "default"  # putting a rule touches no machine


def test_a_machine_without_an_inventory_matches_nothing(client: FlaskClient, add_machine: AddMachine, store: Store) -> None:
    add_machine("unseen", "new")
    assert put(client, "all", "not bmc", add_tags=["x"])["matches"] == []
    assert apply(client)["unseen"]["matched"] == []


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"when": "memory >= 64", "actions": {"pool": "a"}}, "expression_invalid", "column 11"),
        ({"when": "  ", "actions": {"pool": "a"}}, "expression_invalid", "column 3"),
        ({"when": "bmc", "actions": {}}, "invalid_request", "names nothing to do"),
        ({"when": "bmc", "actions": {"colour": "red"}}, "invalid_request", "colour"),
        ({"when": "bmc", "actions": {"add_tags": ["a"], "remove_tags": ["a"]}}, "invalid_request", "both name a"),
        ({"when": "bmc", "actions": {"power_driver": "magic"}}, "invalid_request", "no power driver magic"),
        ({"when": "bmc", "actions": {"hostname_pattern": "r{rack}_{serial}"}}, "invalid_request", "hyphens"),
        ({"when": "bmc", "actions": {"hostname_pattern": "{serial.__class__}"}}, "invalid_request", "variables"),
        ({"when": "bmc", "actions": {"hostname_pattern": "{serial:>99999999}"}}, "invalid_request", "variables"),
        ({"when": "bmc", "actions": {"hostname_pattern": "{seriall}"}}, "invalid_request", "no variable {seriall}"),
        ({"when": "bmc", "actions": {"hostname_pattern": "web"}}, "invalid_request", "same name"),
    ],
)
def test_a_rule_that_can_not_work_is_refused_when_it_is_put(client: FlaskClient, body: Any, code: str, said: str) -> None:
    answer = client.put("/api/v1/rules/bad", json=body)
    assert answer.status_code == 422 and answer.json is not None
    assert answer.json["code"] == code
    assert said in answer.json["message"]


def test_an_inventory_that_arrives_has_all_rules_applied_in_their_order(
    client: FlaskClient, add: AddMachine, store: Store
) -> None:
    add("m-1", tags=["old", "new"])
    put(client, "b", "tag = mellanox and pool = fast", position=20, zone="west", remove_tags=["old"])  # sees what a did
    put(client, "a", "nic.vendor ~ Mellanox", position=10, add_tags=["mellanox"], pool="fast")
    put(client, "c", "pool = fast", position=30, pool="faster")  # the last word
    put(client, "z", "memory > 1TiB", pool="huge")
    machine = arrive(store, "m-1")
    assert (machine.tags, machine.pool, machine.zone) == (["new", "mellanox"], "faster", "west")
    (event,) = events(store, "machine.rules_applied")
    assert event.message == "m-1: rules a, b, c set tag +mellanox, tag -old, pool faster, zone west"
    assert event.data["rules"] == ["a", "b", "c"]
    assert event.data["changes"]["pool"] == {"before": "default", "after": "faster"}
    arrive(store, "m-1")
    assert len(events(store, "machine.rules_applied")) == 1  # nothing changed, so there is nothing to tell


def test_what_a_person_changed_stays_until_rules_are_applied_on_request(
    client: FlaskClient, add: AddMachine, store: Store
) -> None:
    add("m-1")
    put(client, "sort", "memory >= 1GiB", pool="fast", add_tags=["auto", "kept"], hostname_pattern="r-{serial}")
    assert arrive(store, "m-1").name == "r-abc-123"
    change(store, "r-abc-123", name="mine", pool="precious", tags=["kept"])
    machine = arrive(store, "mine")
    assert (machine.name, machine.pool, machine.tags) == ("mine", "precious", ["kept"])
    put(client, "sort", "memory >= 1GiB", pool="faster", zone="east", add_tags=["auto", "kept"], hostname_pattern="r-{serial}")
    machine = arrive(store, "mine")
    assert (machine.pool, machine.zone) == ("precious", "east")  # a person had a hand in the pool, none in the zone

    would = apply(client, dry_run=True)["mine"]
    assert would["changes"]["pool"] == {"before": "precious", "after": "faster"}
    assert client.get("/api/v1/machines/mine").json["pool"] == "precious"
    assert apply(client)["mine"] == would
    shown = client.get("/api/v1/machines/r-abc-123").json
    assert (shown["pool"], shown["tags"]) == ("faster", ["kept", "auto"])
    assert events(store, "machine.rules_applied")[-1].message.endswith("by tester")
    assert apply(client)["r-abc-123"]["changes"] == {}


def test_rules_are_applied_again_to_named_machines_a_filter_or_with_named_rules(client: FlaskClient, add: AddMachine) -> None:
    for name in ("a", "b", "c"):
        add(name, zone="west" if name == "c" else "default")
    put(client, "one", "memory >= 1GiB", add_tags=["one"])
    put(client, "two", "memory >= 1GiB", add_tags=["two"])
    answers = apply(client, machines=["b", "nobody"], rules=["two"])
    assert answers["b"]["changes"] == {"tags": {"before": [], "after": ["two"]}}
    assert answers["nobody"]["error"]["code"] == "machine_not_found"
    assert list(apply(client, filter={"zone": ["west"]})) == ["c"]
    assert [client.get(f"/api/v1/machines/{name}").json["tags"] for name in "abc"] == [[], ["two"], ["one", "two"]]
    assert client.post("/api/v1/rules/apply", json={"rules": ["three"]}).status_code == 404


def test_a_disabled_rule_is_not_applied_by_itself_but_on_request_by_name(
    client: FlaskClient, add: AddMachine, store: Store
) -> None:
    add("a")
    body = {"when": "memory >= 1GiB", "actions": {"add_tags": ["x"]}, "enabled": False}
    assert client.put("/api/v1/rules/off", json=body).json["matches"] == ["a"]
    assert arrive(store, "a").tags == []
    assert apply(client)["a"]["matched"] == []
    assert apply(client, rules=["off"])["a"]["matched"] == ["off"]


# -- names ---------------------------------------------------------------------------------------------------------------------


def test_a_name_is_made_of_the_hardware_and_dns_hears_of_it(client: FlaskClient, add: AddMachine, store: Store) -> None:
    add("m-1")
    with store.write() as session:
        machine = session.scalars(select(Machine)).one()
        subnet = Subnet(name="lab", cidr="10.0.0.0/24", rack="R 7")
        machine.interfaces = [Interface(mac="52:54:00:00:00:01", boot=True, subnet=subnet)]
    put(client, "name", "memory >= 1GiB", hostname_pattern="{rack}-{switch}-{port}-{chassis}-{mac_end}-{serial}")
    assert arrive(store, "m-1").name == "r-7-leaf-1-eth7-enc-4-000001-abc-123"
    with store.session() as session:
        assert [task.kind for task in session.scalars(select(Task))] == ["network.apply"]


@pytest.mark.parametrize(
    ("pattern", "columns", "why"),
    [
        ("r-{serial}", {"serial": None}, "its serial is not known"),
        ("r-{asset_tag}", {}, "its asset_tag is not known"),
        ("r-{serial}-", {}, "RFC 1123"),
        ("r-{serial}" * 8, {}, "RFC 1123"),
        ("{serial}", {"serial": "1234567"}, "digits only"),
        ("r-{serial}", {"serial": "taken"}, "taken by machine r-taken"),
        ("r-{serial}", {"serial": "host"}, "taken by machine other"),
    ],
)
def test_a_name_that_can_not_be_given_leaves_the_one_there_is_and_says_why(
    client: FlaskClient, add: AddMachine, store: Store, pattern: str, columns: dict[str, Any], why: str
) -> None:
    add("m-1", **columns)
    add("r-taken", memory=1)
    add("other", memory=1, hostname="r-host")
    put(client, "name", "memory > 1GiB", hostname_pattern=pattern, add_tags=["seen"])
    machine = arrive(store, "m-1")
    assert (machine.name, machine.tags) == ("m-1", ["seen"])  # the rest of the rule is done
    (refused,) = events(store, "machine.rule_refused")
    assert "rule name could not set name" in refused.message and why in refused.message
    assert (refused.data["rule"], refused.data["action"]) == ("name", "name")


def test_an_unknown_machine_does_not_choose_its_name(client: FlaskClient, add: AddMachine, store: Store) -> None:
    add("node-1", state="new")
    put(client, "name", "memory >= 1GiB", hostname_pattern="r-{serial}", pool="new")
    machine = arrive(store, "node-1", rename=False)
    assert (machine.name, machine.pool) == ("node-1", "new")
    assert arrive(store, "node-1").name == "r-abc-123"  # commissioning does it


# -- power ---------------------------------------------------------------------------------------------------------------------


def test_a_power_driver_is_set_only_with_the_parameters_that_are_there(
    client: FlaskClient, add: AddMachine, store: Store
) -> None:
    secret = {"address": "10.0.0.7", "username": "ops", "password": "hunter2"}
    add("with", power_parameters=secret)
    add("without")
    put(client, "ipmi", "memory >= 1GiB", power_driver="ipmi")
    assert arrive(store, "with").power_driver == "ipmi"
    assert arrive(store, "without").power_driver == "manual"
    (refused,) = events(store, "machine.rule_refused")
    assert "address" in refused.message
    (applied,) = events(store, "machine.rules_applied")
    assert applied.data["changes"] == {"power_driver": {"before": "manual", "after": "ipmi"}}
    assert "hunter2" not in str([event.data for event in events(store, "machine.rules_applied", "machine.rule_refused")])


def test_name_and_power_driver_of_a_busy_machine_wait_for_a_better_moment(
    client: FlaskClient, add: AddMachine, store: Store
) -> None:
    add("m-1")
    assert client.post("/api/v1/machines/m-1/power-query").status_code == 202
    put(client, "all", "memory >= 1GiB", power_driver="libvirt", hostname_pattern="r-{serial}", pool="lab")
    answer = apply(client)["m-1"]
    assert [refused["code"] for refused in answer["refused"]] == ["machine_busy", "machine_busy"]
    assert list(answer["changes"]) == ["pool"]


# -- limits --------------------------------------------------------------------------------------------------------------------


def test_tags_have_a_limit(client: FlaskClient, add: AddMachine, store: Store) -> None:
    add("m-1", tags=[f"t{number}" for number in range(63)])
    put(client, "many", "memory >= 1GiB", add_tags=["x", "y"])
    assert len(arrive(store, "m-1").tags) == 64
    (refused,) = events(store, "machine.rule_refused")
    assert refused.data["code"] == "too_many_tags"


def test_a_stored_rule_that_can_not_be_read_any_more_is_told_and_stops_no_machine(add: AddMachine, store: Store) -> None:
    add("m-1")
    with store.write() as session:
        session.add(Rule(name="old", when="memory is large", actions={"pool": "a"}))
    assert arrive(store, "m-1").pool == "default"
    (refused,) = events(store, "machine.rule_refused")
    assert "Rule old, as it is stored, can not be read" in refused.message
