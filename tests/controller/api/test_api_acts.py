# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a machine can be told beside installing it: test, rescue, adopt, mark broken or fixed, override, lock."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Event, Machine, Operation, Task

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ ops@example.com"
AGENT = (Signal.BOOT_SCRIPT, Signal.HELLO)
TEST_FAILED = {"code": "test_failed", "message": "node-1: tests failed: memory (exit status 1)"}
BODIES = {"rescue": {"ssh_keys": [KEY]}, "adopt": {"address": "dhcp"}}


def post(client: FlaskClient, path: str, body: Any = None, status: int = 202) -> Any:
    response = client.post(f"/api/v1/machines/{path}", json=body)
    assert response.status_code == status, response.json
    return response.json


def machine(client: FlaskClient, name: str = "node-1") -> Any:
    return client.get(f"/api/v1/machines/{name}").json


def tell(store: Store, engine: Engine, operation: Any, *signals: Signal, **data: Any) -> None:
    for signal in signals:
        with store.write() as session:
            engine.signal(session, session.get_one(Operation, operation["operation"]["id"]), signal, data)


def put(store: Store, name: str = "node-1", **columns: Any) -> None:
    with store.write() as session:
        found = session.scalars(select(Machine).where(Machine.name == name)).one()
        for column, value in columns.items():
            setattr(found, column, value)


def kinds(store: Store) -> list[str]:
    with store.session() as session:
        return list(session.scalars(select(Event.kind).order_by(Event.id)))


def count(store: Store) -> list[int]:
    with store.session() as session:
        return [session.scalar(select(func.count()).select_from(model)) or 0 for model in (Event, Operation, Task)]


# -- test ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["ready", "broken"])
def test_a_test_leads_back_to_where_the_machine_was(
    client: FlaskClient, add_machine: Any, store: Store, engine: Engine, state: str
) -> None:
    add_machine("node-1", state)
    started = post(client, "node-1/test", {"scripts": []})
    assert (started["operation"]["kind"], machine(client)["state"]) == ("test", "testing")
    tell(store, engine, started, *AGENT, Signal.JOB_DONE, Signal.POWER_DONE)
    assert machine(client)["state"] == state


def test_a_machine_whose_test_failed_is_tested_again_or_overridden(
    client: FlaskClient, add_machine: Any, store: Store, engine: Engine
) -> None:
    add_machine("node-1")
    tell(store, engine, post(client, "node-1/test"), *AGENT, Signal.JOB_FAILED, **TEST_FAILED)
    failed = machine(client)
    assert (failed["state"], failed["failed_from"], failed["failure"]["code"]) == ("failed", "testing", "test_failed")
    assert "memory" in failed["failure"]["message"]
    tell(store, engine, post(client, "node-1/test"), *AGENT, Signal.JOB_DONE, Signal.POWER_DONE)
    passed = machine(client)
    assert (passed["state"], passed["failure"]) == ("ready", None)
    tell(store, engine, post(client, "node-1/test"), *AGENT, Signal.JOB_FAILED, **TEST_FAILED)
    overridden = post(client, "node-1/override-failed-test", status=200)
    assert (overridden["state"], overridden["failure"], overridden["test_status"]) == ("ready", None, "overridden")
    assert "machine.test_overridden" in kinds(store)


def test_only_a_failed_test_is_overridden(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1", "failed", failed_from="deploying", failure={"code": "write_failed", "message": "node-1: sda"})
    assert post(client, "node-1/override-failed-test", status=409)["code"] == "no_failed_test"
    add_machine("node-2")
    assert post(client, "node-2/override-failed-test", status=409)["code"] == "wrong_state"


@pytest.mark.parametrize("state", ["broken", "failed"])
def test_a_failed_test_makes_nothing_worse_of_a_machine_that_is_out_of_use(
    client: FlaskClient, add_machine: Any, store: Store, engine: Engine, state: str
) -> None:
    """Least of all may it forget that the machine was adopted, or that its disks hold what a failed release left on them."""
    adopted = {"adopted": True, "image": "", "hostname": "old", "at": "2026-11-21T12:00:00+00:00", "options": {}}
    before = {"former_state": "deployed", "deployed": adopted} if state == "broken" else {}
    wrong = {"failed_from": "releasing", "failure": {"code": "wipe_failed", "message": "sda"}} if state == "failed" else {}
    add_machine("node-1", state, **before, **wrong)
    tell(store, engine, post(client, "node-1/test"), *AGENT, Signal.JOB_FAILED, **TEST_FAILED)
    after = machine(client)
    assert (after["state"], after["failed_from"], after["former_state"]) == (
        state,
        wrong.get("failed_from"),
        before.get("former_state"),
    )
    assert (after["failure"] or {}).get("code") == wrong.get("failure", {}).get("code")
    if state == "broken":
        assert post(client, "node-1/mark-fixed", status=200)["state"] == "deployed"
        assert post(client, "node-1/release", status=409)["code"] == "adopted"
    else:
        assert post(client, "node-1/override-failed-test", status=409)["code"] == "no_failed_test"


# -- rescue --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["new", "ready", "deployed", "broken", "failed"])
def test_rescue_and_back(client: FlaskClient, add_machine: Any, store: Store, engine: Engine, state: str) -> None:
    former = {"former_state": "deployed", "note": "fan"} if state == "broken" else {}
    add_machine("node-1", state, failed_from="deploying" if state == "failed" else None, **former)
    started = post(client, "node-1/rescue", BODIES["rescue"])
    assert machine(client)["state"] == "rescuing"
    tell(store, engine, started, *AGENT)
    put(store, rescue={"address": "10.0.0.5", "host_keys": [KEY], "since": "2026-11-21T12:00:00+00:00"})
    tell(store, engine, started, Signal.JOB_DONE)
    inside = machine(client)
    assert (inside["state"], inside["former_state"]) == ("rescue", state)
    assert inside["rescue"] == {"address": "10.0.0.5", "host_keys": [KEY], "since": "2026-11-21T12:00:00+00:00"}
    assert post(client, "node-1/rescue", BODIES["rescue"], status=409)["code"] == "wrong_state"
    tell(store, engine, post(client, "node-1/exit-rescue"), Signal.POWER_DONE)
    outside = machine(client)
    assert (outside["state"], outside["rescue"], outside["former_state"]) == (state, None, former.get("former_state"))
    if state == "broken":
        assert post(client, "node-1/mark-fixed", status=200)["state"] == "deployed"


@pytest.mark.parametrize("body", [{}, {"ssh_keys": []}, {"ssh_keys": ["no key"]}])
def test_rescue_needs_a_key_that_may_log_in(client: FlaskClient, add_machine: Any, body: Any) -> None:
    add_machine("node-1")
    assert post(client, "node-1/rescue", body, status=422)["code"] == "invalid_request"
    assert machine(client)["state"] == "ready"


def test_exit_rescue_is_for_machines_in_rescue(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1")
    assert post(client, "node-1/exit-rescue", status=409)["code"] == "wrong_state"


# -- adopt ---------------------------------------------------------------------------------------------------------------------

ADOPTION = {"hostname": "old-1", "address": "dhcp", "image": "somebody's RHEL 6", "host_keys": [KEY]}


def test_an_adopted_machine_is_deployed_with_what_runs_on_it(client: FlaskClient, add_machine: Any, store: Store) -> None:
    add_machine("node-1", "new")
    adopted = post(client, "node-1/adopt", ADOPTION, status=200)
    assert (adopted["state"], adopted["host_keys"]) == ("deployed", [KEY])
    assert {name: adopted["deployed"][name] for name in ("adopted", "image", "hostname", "address")} == {
        "adopted": True,
        "image": "somebody's RHEL 6",
        "hostname": "old-1",
        "address": "dhcp",
    }
    with store.session() as session:
        assert set(session.scalars(select(Task.kind))) == {"network.apply"}  # nothing is done to the machine itself
    assert post(client, "node-1/adopt", ADOPTION, status=409)["code"] == "wrong_state"


def test_an_adoption_takes_no_name_from_another(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1", "new")
    add_machine("old-1")
    assert post(client, "node-1/adopt", ADOPTION, status=409)["code"] == "hostname_taken"
    assert machine(client)["state"] == "new"


@pytest.mark.parametrize("way", ["deployed", "broken and fixed", "rescued"])
@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("release", {}, "adopted"),
        ("release", {"erase": "full"}, "adopted"),
        ("deploy", {"image": "debian/12", "address": "dhcp"}, "adopted"),
        ("converge", {"state": "ready"}, "adopted"),
        ("converge", {"state": "deployed", "image": "debian/12", "address": "dhcp"}, "drift"),
        ("converge", {"state": "deployed", "image": "debian/12", "address": "dhcp", "on_drift": "redeploy"}, "adopted"),
    ],
)
def test_nothing_wipes_an_adopted_machine_by_the_way(
    client: FlaskClient, add_machine: Any, image: str, store: Store, engine: Engine, way: str, path: str, body: Any, code: str
) -> None:
    add_machine("node-1")
    post(client, "node-1/adopt", ADOPTION, status=200)
    if way == "broken and fixed":
        post(client, "node-1/mark-broken", {}, status=200)
        assert post(client, f"node-1/{path}", body, status=409)["code"] in ("wrong_state", "machine_broken")
        post(client, "node-1/mark-fixed", status=200)
    elif way == "rescued":
        tell(store, engine, post(client, "node-1/rescue", BODIES["rescue"]), *AGENT, Signal.JOB_DONE)
        assert post(client, f"node-1/{path}", body, status=409)["code"] in ("wrong_state", code)
        tell(store, engine, post(client, "node-1/exit-rescue"), Signal.POWER_DONE)
    refused = post(client, f"node-1/{path}", body, status=409)
    assert (refused["code"], "wipe_adopted=true" in refused["hint"]) == (code, True)
    assert machine(client)["state"] == "deployed"
    many = client.post(f"/api/v1/machines/actions/{path}", json={"machines": ["node-1"], "parameters": body}).json
    assert path == "converge" or many["items"][0]["error"]["code"] == code  # type: ignore[index]
    assert machine(client)["operation"] is None


def test_an_adopted_machine_is_wiped_by_those_who_say_so(
    client: FlaskClient, add_machine: Any, store: Store, engine: Engine
) -> None:
    add_machine("node-1", "new")
    post(client, "node-1/adopt", ADOPTION, status=200)
    started = post(client, "node-1/release", {"wipe_adopted": True})
    tell(store, engine, started, *AGENT, Signal.JOB_DONE, Signal.POWER_DONE)
    released = machine(client)
    assert (released["state"], released["deployed"], released["host_keys"]) == ("ready", None, [])


# -- broken and fixed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["new", "ready", "deployed", "failed"])
def test_a_broken_machine_is_out_of_use_until_it_is_fixed(client: FlaskClient, add_machine: Any, state: str) -> None:
    failed = {"failed_from": "releasing", "failure": {"code": "wipe_failed", "message": "sda"}} if state == "failed" else {}
    add_machine("node-1", state, **failed)
    broken = post(client, "node-1/mark-broken", {"note": "fan 3 is dead"}, status=200)
    assert (broken["state"], broken["former_state"], broken["note"]) == ("broken", state, "fan 3 is dead")
    for action in ("commission", "release", "mark-broken", "adopt"):
        assert post(client, f"node-1/{action}", status=409)["code"] == "wrong_state"
    fixed = post(client, "node-1/mark-fixed", status=200)
    assert (fixed["state"], fixed["former_state"], fixed["note"]) == (state, None, "")
    assert (fixed["failure"] or {}).get("code") == ("wipe_failed" if failed else None)
    assert post(client, "node-1/mark-fixed", status=409)["code"] == "wrong_state"


def test_a_machine_that_was_deployed_is_not_forgotten_because_it_is_broken(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1", "new")
    post(client, "node-1/adopt", ADOPTION, status=200)
    post(client, "node-1/mark-broken", status=200)
    assert machine(client)["deployed"]["hostname"] == "old-1"
    assert client.delete("/api/v1/machines/node-1").json["code"] == "wrong_state"  # type: ignore[index]
    assert client.delete("/api/v1/machines/node-1?force=true").status_code == 204


# -- locks ---------------------------------------------------------------------------------------------------------------------

LOCKED_OUT = ["commission", "test", "release", "rescue", "exit-rescue", "power-on", "power-off", "power-cycle", "adopt"]


@pytest.mark.parametrize("action", [*LOCKED_OUT, "mark-broken", "mark-fixed", "override-failed-test", "power-query"])
def test_a_locked_machine_refuses_everything_until_it_is_unlocked(client: FlaskClient, add_machine: Any, action: str) -> None:
    states = {"mark-fixed": "broken", "override-failed-test": "failed", "exit-rescue": "rescue"}
    add_machine("node-1", states.get(action, "ready"), failure=TEST_FAILED if action == "override-failed-test" else None)
    assert post(client, "node-1/lock", status=200)["locked"] is True
    refused = post(client, f"node-1/{action}", BODIES.get(action), status=409)
    assert (refused["code"], refused["hint"]) == ("machine_locked", "Unlock it first.")
    assert post(client, "node-1/lock", status=200)["locked"] is True
    assert post(client, "node-1/unlock", status=200)["locked"] is False
    assert client.post(f"/api/v1/machines/node-1/{action}", json=BODIES.get(action)).status_code in (200, 202)


def test_a_lock_leaves_what_is_under_way_alone_and_it_can_still_be_aborted(client: FlaskClient, add_machine: Any) -> None:
    add_machine("node-1")
    post(client, "node-1/commission")
    assert post(client, "node-1/lock", status=200)["operation"]["state"] == "running"
    assert post(client, "node-1/abort")["operation"]["state"] == "aborted"


# -- all of them ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["test", "rescue", "adopt", "mark-broken", "lock", "unlock"])
def test_a_dry_run_answers_what_would_be_and_leaves_nothing(
    client: FlaskClient, add_machine: Any, store: Store, action: str
) -> None:
    add_machine("node-1")
    before = (count(store), machine(client))
    states = {"test": None, "rescue": None, "adopt": "deployed", "mark-broken": "broken", "lock": "ready", "unlock": "ready"}
    told: Any = client.post(f"/api/v1/machines/node-1/{action}?dry_run=true", json=BODIES.get(action)).json
    assert (told["operation"]["kind"] if states[action] is None else told["state"]) == (states[action] or action)
    assert (count(store), machine(client)) == before


@pytest.mark.parametrize("action", ["adopt", "mark-broken", "test", "rescue"])
def test_a_busy_machine_says_what_it_does(client: FlaskClient, add_machine: Any, action: str) -> None:
    add_machine("node-1")
    running = post(client, "node-1/commission")["operation"]["id"]
    refused = post(client, f"node-1/{action}", BODIES.get(action), status=409)
    assert (refused["code"], refused["details"]["operation"]) == ("machine_busy", running)
