# SPDX-License-Identifier: GPL-3.0-or-later
"""Many machines told at once: each answers for itself, and one that refuses stops none of the others."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from metalwright.lifecycle import actions
from metalwright.store import Store
from metalwright.store.models import Allocation, Event, Machine, Operation, Task

DEPLOY = {"image": "debian/12", "address": "dhcp"}
ADOPTED = {"adopted": True, "image": "", "hostname": "b", "at": "2026-11-21T12:00:00+00:00", "options": {}}


def tell(client: FlaskClient, action: str, query: str = "", status: int = 200, **body: Any) -> Any:
    response = client.post(f"/api/v1/machines/actions/{action}{query}", json=body)
    assert response.status_code == status, response.json
    return response.json


def states(client: FlaskClient) -> dict[str, str]:
    found: Any = client.get("/api/v1/machines?fields=name,state").json
    return {each["name"]: each["state"] for each in found["items"]}


def outcomes(told: Any) -> dict[str, Any]:
    """By machine: the kind of the operation that was started, the code of the refusal, or None."""
    return {
        each["machine"]: each["operation"]["kind"] if each["operation"] else (each["error"] or {}).get("code")
        for each in told["items"]
    }


def test_each_machine_answers_for_itself(client: FlaskClient, add_machine: Any) -> None:
    add_machine("a")
    add_machine("b", "deployed", deployed=ADOPTED)
    add_machine("c", locked=True)
    add_machine("d", "broken")
    add_machine("e")
    client.post("/api/v1/machines/e/power-query")
    told = tell(client, "release", machines=["f", "e", "d", "c", "b", "a"])
    assert [(each["machine"], each["status"]) for each in told["items"]] == [
        ("f", 404),
        ("e", 409),
        ("d", 409),
        ("c", 409),
        ("b", 409),
        ("a", 202),
    ]
    assert outcomes(told) == {
        "f": "machine_not_found",
        "e": "machine_busy",
        "d": "wrong_state",
        "c": "machine_locked",
        "b": "adopted",
        "a": "release",
    }
    assert told["failed"] == 5
    assert all(each["error"]["message"].startswith(f"{each['machine']} ") for each in told["items"][1:5])
    assert states(client)["a"] == "releasing"


@pytest.mark.parametrize(
    ("action", "parameters", "before", "after"),
    [
        ("commission", {}, "ready", "commissioning"),
        ("test", {}, "ready", "testing"),
        ("deploy", DEPLOY, "ready", "deploying"),
        ("release", {"erase": "secure"}, "deployed", "releasing"),
        ("power-off", {}, "ready", "ready"),
        ("exit-rescue", {}, "rescue", "rescuing"),
        ("adopt", {"address": "dhcp"}, "new", "deployed"),
        ("mark-broken", {"note": "flood"}, "ready", "broken"),
        ("mark-fixed", {}, "broken", "new"),
        ("override-failed-test", {}, "failed", "ready"),
        ("lock", {}, "ready", "ready"),
    ],
)
def test_every_action_there_is_for_one_machine_is_there_for_many(
    client: FlaskClient, add_machine: Any, image: str, store: Store, action: str, parameters: Any, before: str, after: str
) -> None:
    for name in ("a", "b"):
        add_machine(name, before, failure={"code": "test_failed", "message": name} if before == "failed" else None)
    rehearsed = tell(client, action, "?dry_run=true", machines=["a", "b"], parameters=parameters)
    assert (rehearsed["failed"], states(client)) == (0, {"a": before, "b": before})
    with store.session() as session:
        assert [session.scalar(select(func.count()).select_from(model)) for model in (Event, Operation, Task)] == [0, 0, 0]
    told = tell(client, action, machines=["a", "b"], parameters=parameters)
    assert (told["failed"], states(client)) == (0, {"a": after, "b": after})
    assert [each["status"] for each in told["items"]] == [each["status"] for each in rehearsed["items"]]


def test_what_many_are_doing_is_aborted(client: FlaskClient, add_machine: Any) -> None:
    for name in ("a", "b"):
        add_machine(name)
    tell(client, "commission", machines=["a"])
    told = tell(client, "abort", machines=["a", "b"])
    assert outcomes(told) == {"a": "commission", "b": "nothing_to_abort"}
    assert told["items"][0]["operation"]["state"] == "aborted"


def test_many_are_deleted_except_those_that_would_run_on_unknown(client: FlaskClient, add_machine: Any) -> None:
    add_machine("a")
    add_machine("b", "deployed", deployed=ADOPTED)
    add_machine("c", locked=True)
    assert tell(client, "delete", "?dry_run=true", machines=["a"])["failed"] == 0
    assert outcomes(tell(client, "delete", machines=["a", "b", "c"])) == {"a": None, "b": "wrong_state", "c": "machine_locked"}
    assert outcomes(tell(client, "delete", machines=["b"], parameters={"force": True})) == {"b": None}
    assert states(client) == {"c": "ready"}
    assert client.post("/api/v1/machines/c/delete").status_code == 404


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"state": ["ready"]}, ["a", "b"]),
        ({"state": ["ready", "new"]}, ["a", "b", "c"]),
        ({"pool": ["gpu"]}, ["b"]),
        ({"zone": ["east"], "state": ["ready"]}, ["b"]),
        ({"tag": ["ssd"]}, ["a", "b"]),
        ({"tag": ["ssd", "big"]}, ["b"]),
        ({"allocation": ["hadoop"]}, ["a"]),
        ({"pool": ["none"]}, []),
    ],
)
def test_a_filter_says_which(client: FlaskClient, add_machine: Any, store: Store, chosen: Any, names: list[str]) -> None:
    with store.write() as session:
        session.add(Allocation(id="1", name="hadoop", count=1))
    add_machine("a", tags=["ssd"], allocation_id="1")
    add_machine("b", tags=["ssd", "big"], pool="gpu", zone="east")
    add_machine("c", "new")
    told = tell(client, "lock", filter=chosen)
    assert [each["machine"] for each in told["items"]] == names
    listed: Any = client.get("/api/v1/machines?fields=name,locked").json
    assert [each["name"] for each in listed["items"] if each["locked"]] == names


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"machines": []},
        {"filter": {}},
        {"filter": {"state": []}},
        {"filter": {"name": ["a"]}},
        {"machines": ["a"], "filter": {"state": ["ready"]}},
        {"machines": ["a"], "parameters": {"colour": "red"}},
        {"machines": ["a"], "parameters": {"erase": "shred"}},
    ],
)
def test_a_request_that_does_not_say_which_machines_or_what_is_refused_whole(
    client: FlaskClient, add_machine: Any, body: Any
) -> None:
    add_machine("a")
    assert tell(client, "release", status=422, **body)["code"] == "invalid_request"
    assert states(client) == {"a": "ready"}


def test_an_action_that_there_is_not(client: FlaskClient, add_machine: Any) -> None:
    add_machine("a")
    refused = tell(client, "explode", status=404, machines=["a"])
    assert refused["code"] == "action_unknown"
    assert "release" in refused["hint"]


def test_a_machine_named_twice_is_told_once(client: FlaskClient, add_machine: Any) -> None:
    identifier = add_machine("a")
    assert outcomes(tell(client, "commission", machines=["a", "a"])) == {"a": "commission"}
    assert outcomes(tell(client, "power-on", machines=[identifier])) == {identifier: "machine_busy"}


@pytest.mark.parametrize(
    ("trouble", "code", "status"),
    [
        (RuntimeError("a bug"), "internal", 500),
        (OperationalError("UPDATE", {}, Exception("database is locked")), "database_unavailable", 503),
    ],
)
def test_trouble_of_the_controller_with_one_machine_is_not_that_of_the_others(
    client: FlaskClient, add_machine: Any, monkeypatch: pytest.MonkeyPatch, trouble: Exception, code: str, status: int
) -> None:
    for name in ("a", "b", "c"):
        add_machine(name)
    mark = actions.mark_broken

    def sometimes(session: Any, machine: Machine, **more: Any) -> None:
        mark(session, machine, **more)
        if machine.name == "b":
            raise trouble

    monkeypatch.setattr(actions, "mark_broken", sometimes)
    told = tell(client, "mark-broken", machines=["a", "b", "c"])
    assert outcomes(told) == {"a": None, "b": code, "c": None}
    assert told["items"][1]["status"] == status
    assert "a bug" not in str(told)
    assert states(client) == {"a": "broken", "b": "ready", "c": "broken"}
