# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are told to do: 202 with the operation, or why not, before anything is powered."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Event, Machine, Operation, Task

DEPLOY = (Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE, Signal.DEPLOYED)
BODY = {"image": "debian/12", "address": "dhcp"}


def post(client: FlaskClient, path: str, body: Any = None, status: int = 202) -> Any:
    response = client.post(f"/api/v1/machines/{path}", json=body)
    assert response.status_code == status, response.json
    return response.json


def count(store: Store) -> list[int]:
    with store.session() as session:
        return [session.scalar(select(func.count()).select_from(model)) or 0 for model in (Event, Operation, Task)]


def tell(store: Store, engine: Engine, operation: str, *signals: Signal) -> None:
    for signal in signals:
        with store.write() as session:
            engine.signal(session, session.get_one(Operation, operation), signal)


@pytest.mark.parametrize("action", ["commission", "release", "power-on", "power-off", "power-cycle", "power-query"])
def test_actions_answer_with_their_operation(client: FlaskClient, add_machine: Any, action: str) -> None:
    identifier = add_machine("node-1")
    operation = post(client, f"node-1/{action}")["operation"]
    assert (operation["kind"], operation["state"], operation["requested_by"]) == (action, "running", "tester")
    assert operation["machine"] == {"id": identifier, "name": "node-1"}
    assert client.get(f"/api/v1/operations/{operation['id']}").json == operation
    machine: Any = client.get("/api/v1/machines/node-1").json
    assert machine["operation"] == operation


def test_a_second_operation_is_told_which_is_the_first(client: FlaskClient, add_machine: Any, image: str) -> None:
    add_machine("node-1")
    first = post(client, "node-1/commission")["operation"]
    for action, body in (("commission", {}), ("deploy", BODY), ("release", {}), ("power-off", {})):
        error = post(client, f"node-1/{action}", body, status=409)
        assert (error["code"], error["details"]["operation"], error["details"]["kind"]) == (
            "machine_busy",
            first["id"],
            "commission",
        )
        assert first["id"] in error["message"]


def test_states_that_do_not_allow_it(client: FlaskClient, add_machine: Any, image: str) -> None:
    add_machine("fresh", "new")
    add_machine("used", "deployed")
    add_machine("locked", locked=True)
    assert post(client, "fresh/deploy", BODY, status=409)["code"] == "wrong_state"
    assert post(client, "used/deploy", BODY, status=409)["code"] == "wrong_state"
    assert post(client, "used/commission", status=409)["code"] == "wrong_state"
    assert post(client, "locked/power-on", status=409)["code"] == "machine_locked"
    assert post(client, "none/commission", status=404)["code"] == "machine_not_found"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"image": "none"}, 422, "image_unknown"),
        ({**BODY, "user_data": "#cloud-config\na: [b"}, 422, "user_data_not_yaml"),
        ({**BODY, "user_data": "packages: [htop]"}, 422, "user_data_not_cloud_config"),
        ({**BODY, "hostname": "node-2"}, 409, "hostname_taken"),
        ({**BODY, "hostname": "a.b"}, 422, "invalid_request"),
        ({**BODY, "timezone": "Mars/Olympus"}, 422, "invalid_request"),
        ({**BODY, "disk": {"name": "sdz"}}, 422, "no_disk"),
        ({**BODY, "address": "10.1.2.3"}, 422, "address_outside_range"),
        ({**BODY, "colour": "red"}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ],
)
def test_a_wrong_deploy_is_refused_before_power(
    client: FlaskClient, add_machine: Any, image: str, store: Store, body: Any, status: int, code: str
) -> None:
    add_machine("node-1")
    add_machine("node-2")
    before = count(store)
    for path in ("node-1/deploy", "node-1/deploy?dry_run=true"):
        assert post(client, path, body, status=status)["code"] == code
    assert count(store) == before
    assert client.get("/api/v1/machines/node-1").json["state"] == "ready"  # type: ignore[index]


def test_user_data_arrives_unchanged_and_is_shown_to_nobody(
    client: FlaskClient, add_machine: Any, image: str, store: Store
) -> None:
    add_machine("node-1")
    text = "#cloud-config\r\npassword: s3cret \n\n# end"
    operation = post(client, "node-1/deploy", {**BODY, "user_data": text})["operation"]
    with store.session() as session:
        assert session.get_one(Operation, operation["id"]).parameters["user_data"] == text
    for path in ("machines", "operations", "events", "machines/node-1/timeline"):
        assert "s3cret" not in client.get(f"/api/v1/{path}").get_data(as_text=True)


def test_a_deployed_machine_shows_what_was_deployed(
    client: FlaskClient, add_machine: Any, image: str, store: Store, engine: Engine
) -> None:
    add_machine("node-1")
    operation = post(client, "node-1/deploy", {**BODY, "hostname": "web-1", "packages": ["htop"]})["operation"]
    tell(store, engine, operation["id"], *DEPLOY)
    machine: Any = client.get("/api/v1/machines/node-1").json
    assert machine["state"] == "deployed"
    assert {name: machine["deployed"][name] for name in ("image", "hostname", "options")} == {
        "image": "debian/12",
        "hostname": "web-1",
        "options": {"packages": ["htop"]},
    }


def test_dry_runs_answer_what_would_be_and_leave_nothing(client: FlaskClient, add_machine: Any, image: str, store: Store) -> None:
    add_machine("node-1")
    before = count(store)
    for action, body in (("commission", {}), ("deploy", BODY), ("release", {"erase": "quick"}), ("power-on", {})):
        assert post(client, f"node-1/{action}?dry_run=true", body)["operation"]["kind"] == action
    converged = post(client, "node-1/converge?dry_run=true", {"state": "deployed", **BODY}, status=200)
    assert (converged["changed"], converged["plan"], converged["operation"]) == (True, [{"operation": "deploy"}], None)
    assert count(store) == before
    assert client.get("/api/v1/machines/node-1").json["operation"] is None  # type: ignore[index]


def test_converge_is_idempotent_from_new_to_deployed(
    client: FlaskClient, add_machine: Any, image: str, store: Store, engine: Engine
) -> None:
    add_machine("node-1")
    wish = {"state": "deployed", **BODY}
    first = post(client, "node-1/converge", wish)
    assert first["diff"] == {
        "before": {"state": "ready"},
        "after": {"state": "deployed", "image": "debian/12", "hostname": "node-1", "address": "dhcp"},
    }
    again = post(client, "node-1/converge", wish)
    assert again["operation"]["id"] == first["operation"]["id"]
    meanwhile = post(client, "node-1/converge?dry_run=true", wish, status=200)
    assert meanwhile["operation"]["id"] == first["operation"]["id"]
    tell(store, engine, first["operation"]["id"], *DEPLOY)
    settled = post(client, "node-1/converge", wish, status=200)
    assert (settled["changed"], settled["plan"], settled["operation"]) == (False, [], None)
    drift = post(client, "node-1/converge", {**wish, "packages": ["htop"]}, status=409)
    assert (drift["code"], list(drift["details"]["differences"])) == ("drift", ["packages"])
    assert post(client, "node-1/converge", {**wish, "packages": ["htop"], "on_drift": "redeploy"})["plan"] == [
        {"operation": "deploy"}
    ]


def test_abort_ends_what_is_under_way(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1")
    assert post(client, "node-1/abort", status=409)["code"] == "nothing_to_abort"
    operation = post(client, "node-1/commission")["operation"]
    assert post(client, "node-1/abort")["operation"]["state"] == "aborted"
    assert client.get("/api/v1/machines/node-1").json["state"] == "ready"  # type: ignore[index]
    response = client.post(f"/api/v1/operations/{operation['id']}/abort")
    assert (response.status_code, response.json and response.json["code"]) == (409, "operation_ended")


def test_the_timeline_is_that_of_the_last_work(client: FlaskClient, add_machine: Any, clock: Any) -> None:
    add_machine("node-1")
    assert client.get("/api/v1/machines/node-1/timeline").status_code == 404
    work = post(client, "node-1/commission")["operation"]
    clock.advance(5)
    post(client, "node-1/abort")
    clock.advance(5)
    query = post(client, "node-1/power-query")["operation"]
    told: Any = client.get("/api/v1/machines/node-1/timeline").json
    assert (told["operation"]["id"], told["total_seconds"]) == (work["id"], 5.0)
    assert sum(step["seconds"] for step in told["steps"]) == told["total_seconds"]
    told = client.get(f"/api/v1/machines/node-1/timeline?operation={query['id']}").json
    assert told["operation"]["kind"] == "power-query"


def test_a_long_poll_answers_when_the_operation_ends(client: FlaskClient, add_machine: Any, store: Store, engine: Engine) -> None:
    add_machine("node-1")
    operation = post(client, "node-1/power-on")["operation"]
    path = f"/api/v1/operations/{operation['id']}"
    assert client.get(f"{path}?wait=0.01").json["state"] == "running"  # type: ignore[index]
    ending = threading.Timer(0.2, tell, (store, engine, operation["id"], Signal.POWER_DONE))
    ending.start()
    assert client.get(f"{path}?wait=30").json["state"] == "succeeded"  # type: ignore[index]
    ending.join()
    assert client.get(f"{path}?wait=61").status_code == 422


def test_when_all_waiting_places_are_taken_the_answer_says_to_ask_again(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1")
    operation = post(client, "node-1/power-on")["operation"]
    waits = client.application.extensions["metalwright"].waits
    while waits.acquire(blocking=False):
        pass
    response = client.get(f"/api/v1/operations/{operation['id']}?wait=60")
    assert (response.status_code, response.headers["Retry-After"]) == (200, "1")
    assert client.get("/api/v1/events", headers={"Accept": "text/event-stream"}).status_code == 503


def test_operations_are_listed_newest_first_and_filtered(client: FlaskClient, add_machine: Any, clock: Any, store: Store) -> None:
    for name in ("a", "b", "c"):
        add_machine(name)
        post(client, f"{name}/power-query")
        clock.advance(1)
    post(client, "a/abort")

    def names(query: str) -> list[str]:
        return [each["machine"]["name"] for each in client.get(f"/api/v1/operations?{query}").json["items"]]  # type: ignore[index]

    assert names("") == ["c", "b", "a"]
    assert names("state=running") == ["c", "b"]
    assert names("state=aborted,running") == ["c", "b", "a"]
    assert names("machine=b") == ["b"]
    assert names("kind=deploy") == []
    first: Any = client.get("/api/v1/operations?limit=2").json
    assert names(f"limit=2&cursor={first['next']}") == ["a"]
    assert client.get("/api/v1/operations?fields=id,colour").status_code == 422
    with store.session() as session:
        assert session.scalar(select(func.count()).select_from(Machine)) == 3
