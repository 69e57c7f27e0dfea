# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts in the API: adding them, naming them in operations, and reading what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from metalwright.lifecycle import script_runs
from metalwright.lifecycle.engine import Engine
from metalwright.store import Store
from metalwright.store.models import Machine, Operation, ScriptRun

AddMachine = Callable[..., str]
SOURCE = """#!/bin/sh
# --- metalwright
# name: burn
# kind: test
# title: Burns in
# timeout: 2h
# parameters:
#   for: {type: duration, default: 1h, description: How long}
#   mode: {type: string, choices: [fast, slow]}
# ---
exit 0
"""
DESTRUCTIVE = SOURCE.replace("# timeout: 2h", "# destructive: true")


def put(client: FlaskClient, source: str = SOURCE, name: str = "burn", **query: str) -> Any:
    return client.put(f"/api/v1/scripts/{name}", json={"source": source}, query_string=query)


def test_a_script_is_added_replaced_shown_and_deleted(client: FlaskClient) -> None:
    added = put(client)
    assert (added.status_code, added.json["timeout"], added.json["builtin"]) == (201, 7200, False)
    assert added.json["parameters"]["for"] == {
        "type": "duration",
        "default": "1h",
        "description": "How long",
        "required": False,
        "choices": None,
    }
    assert put(client).status_code == 200
    changed = put(client, SOURCE.replace("2h", "1h"))
    assert (changed.status_code, changed.json["timeout"]) == (200, 3600)
    shown: Any = client.get("/api/v1/scripts/burn").json
    assert shown == changed.json and shown["source"] == SOURCE.replace("2h", "1h")
    assert client.delete("/api/v1/scripts/burn").status_code == 204
    assert client.get("/api/v1/scripts/burn").status_code == 404
    assert client.delete("/api/v1/scripts/burn").status_code == 404
    events: Any = client.get("/api/v1/events").json
    assert [each["kind"] for each in events["events"] if each["kind"].startswith("script.")] == [
        "script.added",
        "script.changed",
        "script.deleted",
    ]


def test_a_dry_run_leaves_nothing(client: FlaskClient) -> None:
    assert put(client, dry_run="true").status_code == 201
    assert client.get("/api/v1/scripts/burn").status_code == 404
    put(client)
    assert client.delete("/api/v1/scripts/burn", query_string={"dry_run": "true"}).status_code == 204
    assert client.get("/api/v1/scripts/burn").status_code == 200


def test_a_header_that_is_wrong_is_refused_by_line_and_key(client: FlaskClient) -> None:
    answer = put(client, SOURCE.replace("2h", "soon"))
    assert (answer.status_code, answer.json["code"]) == (422, "script_invalid")
    assert answer.json["details"] == {"line": 6, "key": "timeout"}
    assert put(client, name="other").json["code"] == "script_name_differs"


def test_what_comes_with_metalwright_is_listed_and_stays_as_it_is(client: FlaskClient) -> None:
    put(client)
    listed: Any = client.get("/api/v1/scripts").json
    assert [each["name"] for each in listed["items"]] == ["burn", "cpu", "disk-read", "disk-write", "memory", "network", "smart"]
    assert {each["name"] for each in listed["items"] if each["automatic"]} == {"network", "smart"}
    assert {each["name"] for each in listed["items"] if each["destructive"]} == {"disk-write"}
    for answer in (put(client, SOURCE.replace("name: burn", "name: smart"), "smart"), client.delete("/api/v1/scripts/smart")):
        assert (answer.status_code, answer.json["code"]) == (409, "script_builtin")
    whole: Any = client.get("/api/v1/scripts/smart").json
    assert whole["builtin"] and whole["source"].startswith("#!/usr/bin/python3\n")


def test_lists_are_filtered_and_paged(client: FlaskClient) -> None:
    put(client, SOURCE.replace("kind: test", "kind: release"))

    def names(**query: Any) -> list[str]:
        answer: Any = client.get("/api/v1/scripts", query_string=query).json
        return [each["name"] for each in answer["items"]]

    assert names(kind="release") == ["burn"]
    assert names(builtin="false") == ["burn"]
    assert names(automatic="true") == ["network", "smart"]
    first: Any = client.get("/api/v1/scripts?limit=4&fields=name").json
    rest: Any = client.get("/api/v1/scripts", query_string={"fields": "name", "cursor": first["next"]}).json
    assert [*first["items"], *rest["items"]] == [{"name": name} for name in names()]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("action", "body", "code", "details"),
    [
        ("test", {"scripts": ["nothing"]}, "script_unknown", {"script": "nothing"}),
        ("test", {"scripts": ["cleanup"]}, "script_kind", {"script": "cleanup"}),
        ("commission", {"scripts": ["burn"]}, "script_kind", {"script": "burn"}),
        ("commission", {"tests": ["cleanup"]}, "script_kind", {"script": "cleanup"}),
        ("release", {"scripts": ["burn"]}, "script_kind", {"script": "burn"}),
        ("test", {"parameters": {"burn": {"for": "1h"}}}, "script_not_chosen", {"script": "burn"}),
        ("test", {"scripts": ["burn"], "parameters": {"burn": {"fro": 1}}}, "script_parameter", {"parameter": "fro"}),
        ("test", {"scripts": ["burn"], "parameters": {"burn": {"for": "soon"}}}, "script_parameter", {"parameter": "for"}),
        ("test", {"scripts": ["burn"], "parameters": {"burn": {"mode": "warp"}}}, "script_parameter", {"parameter": "mode"}),
        ("release", {"scripts": ["cleanup"]}, "script_parameter", {"parameter": "key"}),
    ],
)
def test_what_can_not_run_is_refused_before_anything_begins(
    client: FlaskClient, add_machine: AddMachine, action: str, body: Any, code: str, details: dict[str, str]
) -> None:
    add_machine()
    put(client)
    put(
        client,
        "#!/bin/sh\n# --- metalwright\n# name: cleanup\n# kind: release\n"
        "# parameters:\n#   key: {required: true, description: Whose}\n# ---\n",
        "cleanup",
    )
    answer: Any = client.post(f"/api/v1/machines/node-1/{action}", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert details.items() <= answer.json["details"].items()
    shown: Any = client.get("/api/v1/machines/node-1").json
    assert (shown["state"], shown["operation"]) == ("ready", None)


def test_many_machines_are_told_the_same_with_parameters(client: FlaskClient, add_machine: AddMachine) -> None:
    add_machine("node-1")
    add_machine("node-2", state="new")
    put(client)
    body = {"machines": ["node-1", "node-2"], "parameters": {"scripts": ["burn"], "parameters": {"burn": {"for": "5m"}}}}
    answer: Any = client.post("/api/v1/machines/actions/test", json=body).json
    assert [item["status"] for item in answer["items"]] == [202, 409]


def test_data_is_only_destroyed_where_none_is(client: FlaskClient, add_machine: AddMachine) -> None:
    put(client, DESTRUCTIVE)
    add_machine("empty")
    add_machine("full", state="broken", former_state="deployed", deployed={"image": "debian/12", "hostname": "full"})
    refused: Any = client.post("/api/v1/machines/full/test", json={"scripts": ["burn"]})
    assert (refused.status_code, refused.json["code"]) == (409, "script_destructive")
    assert client.post("/api/v1/machines/empty/test", json={"scripts": ["burn"]}).status_code == 202


@pytest.fixture
def history(client: FlaskClient, add_machine: AddMachine, store: Store, engine: Engine, clock: Any) -> list[str]:
    """Three tests of a machine in a row, each with two scripts; identifiers of the operations."""
    add_machine()
    put(client)
    made = []
    for number in range(3):
        with store.write() as session:
            machine = session.scalars(select(Machine)).one()
            operation = engine.start(session, machine, "test", {"scripts": ["burn", "cpu"], "parameters": {}}, by="x")
            burn, _cpu = script_runs.make(session, operation, kept=10, now=clock())
            said = {"status": "failed" if number == 1 else "passed", "exit_status": number, "output": f"output {number}\n"}
            script_runs.report(session, operation, burn, said | {"result": {"n": number}, "runtime_seconds": 2.5}, clock())
            session.flush()
            engine.abort(session, operation, by="x")
            made.append(operation.id)
        clock.advance(60)
    return made


def test_runs_are_listed_newest_first_and_filtered(client: FlaskClient, history: list[str]) -> None:
    def runs(**query: Any) -> list[tuple[str, str, str]]:
        answer: Any = client.get("/api/v1/machines/node-1/scripts", query_string=query).json
        return [(each["script"], each["status"], each["operation"]) for each in answer["items"]]

    first, second, third = history
    everything = [
        *(("cpu", "aborted", third), ("burn", "passed", third)),
        *(("cpu", "aborted", second), ("burn", "failed", second)),
        *(("cpu", "aborted", first), ("burn", "passed", first)),
    ]
    assert runs() == everything
    assert runs(status="failed,passed", operation=f"{first},{second}") == [("burn", "failed", second), ("burn", "passed", first)]
    assert runs(script="cpu", kind="test") == everything[::2]
    assert runs(kind="release") == []
    paged, cursor = [], None
    while True:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        answer: Any = client.get("/api/v1/machines/node-1/scripts", query_string=query).json
        paged += [(each["script"], each["status"], each["operation"]) for each in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert paged == everything


def test_one_run_is_shown_with_what_it_printed(client: FlaskClient, history: list[str], store: Store) -> None:
    newest: Any = client.get("/api/v1/machines/node-1/scripts/burn").json
    assert (newest["output"], newest["exit_status"], newest["result"]) == ("output 2\n", 2, {"n": 2})
    assert (newest["operation"], newest["source"], newest["parameters"]) == (history[-1], SOURCE, {"for": "3600"})
    with store.session() as session:
        wanted = select(ScriptRun.id).where(ScriptRun.operation_id == history[1], ScriptRun.script_name == "burn")
        identifier = session.scalar(wanted)
    older: Any = client.get(f"/api/v1/machines/node-1/scripts/{identifier}").json
    assert (older["output"], older["status"]) == ("output 1\n", "failed")
    missing: Any = client.get("/api/v1/machines/node-1/scripts/smart")
    assert (missing.status_code, missing.json["code"]) == (404, "run_not_found")
    assert client.get("/api/v1/machines/nobody/scripts").status_code == 404


@pytest.mark.parametrize("key", [["x", "1", "y"], ["2026-11-21T12:00:00+00:00", "x", "y"], ["2026-11-21", "1", "y"]])
def test_a_cursor_of_something_else_is_refused(client: FlaskClient, history: list[str], key: list[str]) -> None:
    from metalwright.api.listing import cursor

    answer: Any = client.get("/api/v1/machines/node-1/scripts", query_string={"cursor": cursor(key)})
    assert (answer.status_code, answer.json["code"]) == (422, "bad_cursor")


def test_runs_go_with_their_machine(client: FlaskClient, history: list[str], store: Store) -> None:
    assert client.delete("/api/v1/machines/node-1").status_code == 204
    with store.session() as session:
        assert session.scalars(select(ScriptRun)).all() == []
        assert session.scalars(select(Operation)).all() == []


def test_runs_outlive_their_operation(client: FlaskClient, history: list[str], store: Store) -> None:
    with store.write() as session:
        session.execute(delete(Operation).where(Operation.id.in_(history[:2])))
    answer: Any = client.get("/api/v1/machines/node-1/scripts?script=burn").json
    assert [(run["operation"], run["status"]) for run in answer["items"]] == [
        (history[2], "passed"),
        (None, "failed"),
        (None, "passed"),
    ]
