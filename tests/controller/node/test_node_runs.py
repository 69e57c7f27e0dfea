# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts on a machine, as its agent sees them: what it is given to run, and what comes of what it says."""

from __future__ import annotations

from typing import Any

import pytest
from node_world import ADDRESS, World, inventory
from sqlalchemy import select

from metalwright.lifecycle import script_catalogue
from metalwright.store.models import Machine, Operation, ScriptRun

Run = dict[str, Any]
DONE = {"status": "passed", "exit_status": 0, "output": "fine\n", "result": None, "runtime_seconds": 1.5}


def script(world: World, name: str, *lines: str, kind: str = "test", code: str = "exit 0") -> str:
    """Add a script; answers its text."""
    header = "\n".join(f"# {line}" for line in (f"name: {name}", f"kind: {kind}", *lines))
    source = f"#!/bin/sh\n# --- metalwright\n{header}\n# ---\n{code}\n"
    world.change(lambda session: script_catalogue.save(session, name, source, world.clock()))
    return source


def agent(world: World, machine: Machine, kind: str, **parameters: Any) -> tuple[str, str]:
    """Start an operation and boot up to the step with the scripts; answers the operation and the token."""
    operation = world.start(machine, kind, **parameters)
    token = world.token()
    assert world.hello(token).status_code == 200
    if kind == "commission":
        assert world.post(f"/agent/{token}/inventory", {"inventory": inventory()}).status_code == 200
    return operation, token


def asked(world: World, token: str) -> list[Run]:
    answer = world.post(f"/agent/{token}/scripts")
    assert answer.status_code == 200 and answer.json is not None
    runs: list[Run] = answer.json["runs"]
    return runs


def said(world: World, token: str, run: Run, status: str, **more: Any) -> int:
    body = DONE | {"status": status} | more
    return world.post(f"/agent/{token}/script/{run['id']}", body).status_code


def ended(world: World, token: str, status: str = "finished", **more: Any) -> Any:
    return world.post(f"/agent/{token}/step", {"step": "scripts", "status": status, **more}).json


def row(world: World, identifier: str) -> ScriptRun:
    with world.store.session() as session:
        return session.get_one(ScriptRun, identifier)


def test_the_agent_is_given_what_the_operation_names_with_its_parameters(world: World) -> None:
    source = script(world, "burn", "timeout: 2h", "parameters:", "  for: {type: duration, default: 1h}", "  deep: {type: bool}")
    operation, token = agent(world, world.machine(), "test", scripts=["burn"], parameters={"burn": {"deep": True}})
    runs = asked(world, token)
    assert runs == [
        {
            "id": runs[0]["id"],
            "name": "burn",
            "kind": "test",
            "timeout_seconds": 7200,
            "parallel": False,
            "may_reboot": False,
            "required": True,
            "parameters": {"for": "3600", "deep": "true"},
            "reboots": 0,
        }
    ]
    assert asked(world, token) == runs
    got = world.get(f"/agent/{token}/script/{runs[0]['id']}")
    assert (got.text, got.mimetype) == (source, "text/plain")
    script(world, "burn", code="exit 1")
    assert world.get(f"/agent/{token}/script/{runs[0]['id']}").text == source
    assert world.operation(operation).phase == "test"


def test_without_a_word_the_automatic_ones_run_commissioning_first(world: World) -> None:
    script(world, "zeroth", "automatic: true", kind="commissioning")
    script(world, "first", "automatic: true", "hardware: memory >= 1GiB", kind="commissioning")
    script(world, "for-others", "automatic: true", "hardware: memory >= 1TiB", kind="commissioning")
    script(world, "only-when-named", kind="commissioning")
    _, token = agent(world, world.machine(state="new", hardware=None), "commission")
    assert [(run["name"], run["kind"]) for run in asked(world, token)] == [
        ("first", "commissioning"),
        ("zeroth", "commissioning"),
        ("network", "test"),
        ("smart", "test"),
    ]


def test_one_that_was_named_but_is_for_other_hardware_is_told_as_skipped(world: World) -> None:
    script(world, "raid", "hardware: memory >= 1TiB")
    operation, token = agent(world, world.machine(), "test", scripts=["raid"])
    assert asked(world, token) == []
    assert ended(world, token) == {"continue": True}
    with world.store.session() as session:
        run = session.scalars(select(ScriptRun)).one()
    assert (run.status, "memory >= 1TiB" in run.output) == ("skipped", True)
    world.done(token)
    assert world.operation(operation).phase == "power-off"


def test_what_a_run_prints_and_results_in_is_kept(world: World) -> None:
    script(world, "burn")
    operation, token = agent(world, machine := world.machine(), "test", scripts=["burn"])
    (run,) = asked(world, token)
    assert said(world, token, run, "running", output="10 %\n", exit_status=None) == 200
    began = world.clock()
    world.clock.forward(90)
    assert said(world, token, run, "passed", output="10 %\n20 %\n", result={"mb_per_second": 512.5}, runtime_seconds=89.5) == 200
    assert said(world, token, run, "failed", output="late") == 200
    kept = row(world, run["id"])
    assert (kept.status, kept.exit_status, kept.output) == ("passed", 0, "10 %\n20 %\n")
    assert (kept.result, kept.runtime_seconds) == ({"mb_per_second": 512.5}, 89.5)
    assert (kept.started_at, kept.ended_at) == (began, world.clock())
    assert [event.message for event in world.events("script.running", "script.passed")] == [
        "node-1: burn began",
        "node-1: burn passed",
    ]
    assert world.operation(operation).message == "burn: passed"
    assert ended(world, token) == {"continue": True}
    assert world.reload(machine).test_status == "passed"


def test_a_required_test_that_fails_fails_the_machine_after_all_have_run(world: World) -> None:
    for name in ("one", "two", "three"):
        script(world, name, *(["required: false"] if name == "one" else []))
    operation, token = agent(world, machine := world.machine(), "test", scripts=["one", "two", "three"])
    one, two, three = asked(world, token)
    said(world, token, one, "failed", exit_status=1)
    said(world, token, two, "timeout", exit_status=None, output="waiting for the disk\n")
    said(world, token, three, "passed")
    told = {"code": "test_failed", "message": "two: not done after its 600 s, ended"}
    assert ended(world, token, "failed", error=told) == {"continue": False}
    failed = world.operation(operation)
    assert failed.failure is not None and failed.state == "failed"
    assert failed.failure["code"] == "test_failed"
    assert failed.failure["message"] == "node-1: tests failed: two (not done after 600 s)"
    assert failed.failure["log_tail"] == "waiting for the disk\n"
    assert "metalwright script output node-1 two" in failed.failure["hint"]
    assert (world.reload(machine).state, world.reload(machine).test_status) == ("failed", "failed")


def test_a_machine_whose_required_test_failed_is_not_ready_even_if_its_agent_calls_that_success(world: World) -> None:
    script(world, "burn")
    operation, token = agent(world, machine := world.machine(state="new"), "commission", tests=["burn"])
    (run,) = asked(world, token)
    said(world, token, run, "failed", exit_status=3)
    assert ended(world, token) == {"continue": False}
    assert world.post(f"/agent/{token}/done").status_code == 404
    assert world.reload(machine).state == "failed"
    assert (world.operation(operation).failure or {})["message"] == "node-1: tests failed: burn (exit status 3)"


def test_an_agent_that_leaves_scripts_out_has_not_finished(world: World) -> None:
    script(world, "burn")
    operation, token = agent(world, world.machine(), "test", scripts=["burn"])
    asked(world, token)
    assert ended(world, token) == {"continue": False}
    assert (world.operation(operation).failure or {})["code"] == "agent_error"


def test_an_optional_one_that_fails_is_told_and_harms_nothing(world: World) -> None:
    script(world, "firmware", "required: false", kind="commissioning")
    _, token = agent(world, machine := world.machine(), "commission", scripts=["firmware"], tests=[])
    (run,) = asked(world, token)
    said(world, token, run, "failed", exit_status=1)
    assert ended(world, token) == {"continue": True}
    assert world.reload(machine).test_status is None


def test_what_had_not_ended_is_aborted_with_its_operation(world: World) -> None:
    script(world, "one", kind="commissioning")
    script(world, "two", kind="commissioning")
    operation, token = agent(world, world.machine(), "commission", scripts=["one", "two"], tests=[])
    one, two = asked(world, token)
    said(world, token, one, "failed", exit_status=1, output="no licence\n")
    assert ended(world, token, "failed", error={"code": "script_failed", "message": "one: failed"}) == {"continue": False}
    assert row(world, one["id"]).status == "failed"
    assert row(world, two["id"]).status == "aborted"
    failure = world.operation(operation).failure or {}
    assert (failure["code"], failure["message"]) == ("script_failed", "node-1: commissioning failed: one (exit status 1)")
    assert failure["log_tail"] == "no licence\n"


def test_a_person_who_aborts_aborts_what_runs(world: World) -> None:
    script(world, "burn")
    operation, token = agent(world, world.machine(), "test", scripts=["burn"])
    (run,) = asked(world, token)
    said(world, token, run, "running")
    world.change(lambda session: world.engine.abort(session, session.get_one(Operation, operation), by="ops"))
    assert row(world, run["id"]).status == "aborted"
    assert said(world, token, run, "passed") == 404


def test_one_that_may_reboot_goes_on_after_it(world: World) -> None:
    script(world, "bios", "may_reboot: true")
    operation, token = agent(world, world.machine(), "test", scripts=["bios"])
    for reboots in range(5):
        (run,) = asked(world, token)
        assert run["reboots"] == reboots
        said(world, token, run, "running", exit_status=None)
        world.clock.forward(world.settings.deadlines.heartbeat + 60)  # a server's self-test takes minutes
        world.change(world.engine.reap)
        token = world.token()
        assert world.hello(token).status_code == 200
    (run,) = asked(world, token)
    said(world, token, run, "passed")
    assert ended(world, token) == {"continue": True}
    assert world.operation(operation).state == "running"


def test_one_that_restarts_its_machine_for_ever_fails(world: World) -> None:
    script(world, "bios", "may_reboot: true")
    operation, token = agent(world, world.machine(), "test", scripts=["bios"])
    for _ in range(12):
        runs = asked(world, token)
        if not runs:
            break
        said(world, token, runs[0], "running", exit_status=None)
        token = world.token()
        world.hello(token)
    assert ended(world, token) == {"continue": False}
    assert "bios" in (world.operation(operation).failure or {})["message"]


def test_a_test_during_which_the_machine_restarts_has_failed_and_the_others_go_on(world: World) -> None:
    script(world, "burn")
    script(world, "next")
    operation, token = agent(world, machine := world.machine(), "test", scripts=["burn", "next"])
    burn, following = asked(world, token)
    said(world, token, burn, "running", output="loading all processors\n", exit_status=None)
    token = world.token()
    world.hello(token)
    assert asked(world, token) == [following]
    kept = row(world, burn["id"])
    assert (kept.status, kept.output) == ("failed", "loading all processors\n\nThe machine restarted while it ran.\n")
    said(world, token, following, "passed")
    assert ended(world, token) == {"continue": False}
    assert (world.operation(operation).failure or {})["code"] == "test_failed"
    assert world.reload(machine).test_status == "failed"


def test_a_commissioning_script_during_which_the_machine_restarts_ends_the_operation(world: World) -> None:
    script(world, "firmware", kind="commissioning")
    operation, token = agent(world, world.machine(), "commission", scripts=["firmware"], tests=[])
    (run,) = asked(world, token)
    said(world, token, run, "running", exit_status=None)
    token = world.token()
    world.hello(token)
    assert asked(world, token) == []
    assert (world.operation(operation).failure or {})["code"] == "script_failed"


def test_a_script_deleted_between_request_and_boot_is_why_it_fails(world: World) -> None:
    script(world, "burn")
    operation, token = agent(world, world.machine(), "test", scripts=["burn"])
    world.change(lambda session: script_catalogue.delete(session, "burn"))
    assert asked(world, token) == []
    failure = world.operation(operation).failure or {}
    assert (failure["code"], "There is no script burn" in failure["message"]) == ("script_failed", True)


def test_the_last_runs_of_each_script_are_kept(world: World) -> None:
    script(world, "burn")
    other = script(world, "other")
    machine, made = world.machine(), []
    for _ in range(world.settings.limits.script_runs_kept + 2):
        operation, token = agent(world, machine, "test", scripts=["burn"] if made else ["burn", "other"])
        runs = asked(world, token)
        made.append(runs[0]["id"])
        world.change(
            lambda session, operation=operation: world.engine.abort(session, session.get_one(Operation, operation), by="x")
        )
        world.clock.forward(60)
    with world.store.session() as session:
        kept = session.scalars(select(ScriptRun).order_by(ScriptRun.created_at)).all()
    assert [run.id for run in kept if run.script_name == "burn"] == made[2:]
    assert [run.source for run in kept if run.script_name == "other"] == [other]


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        (["a list"], "no JSON object"),
        ({"deep": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}, "nested"),
        ({"long": "x" * 70_000}, "larger"),
    ],
)
def test_a_result_that_can_not_be_kept_is_left_out_and_that_is_said(world: World, result: Any, complaint: str) -> None:
    script(world, "burn")
    _, token = agent(world, world.machine(), "test", scripts=["burn"])
    (run,) = asked(world, token)
    assert said(world, token, run, "passed", result=result) == 200
    kept = row(world, run["id"])
    assert (kept.status, kept.result) == ("passed", None)
    assert "left out" in kept.output and complaint in kept.output


def test_what_a_machine_says_is_cleaned_and_cut(world: World) -> None:
    script(world, "burn")
    _, token = agent(world, world.machine(), "test", scripts=["burn"])
    (run,) = asked(world, token)
    body = b'{"status":"passed","output":"%s\\u0000\\u001b[2J\\ud800end\\n","result":{"a\\u0000":"\\ud800b","big":1e999}}'
    answer = world.client.post(f"/agent/{token}/script/{run['id']}", data=body % (b"x" * 100_000))
    assert answer.status_code == 200
    kept = row(world, run["id"])
    assert len(kept.output) == 64 << 10 and kept.output.endswith("x[2Jend\n")
    assert kept.result == {"a": "b", "big": None}


@pytest.mark.parametrize(
    "body",
    [
        {"status": "excellent"},
        {},
        {"status": "passed", "exit_status": 10**30},
        {"status": "passed", "runtime_seconds": -1},
        {"status": "passed", "output": ["x"]},
    ],
)
def test_a_report_out_of_shape_is_refused_and_changes_nothing(world: World, body: Any) -> None:
    script(world, "burn")
    _, token = agent(world, world.machine(), "test", scripts=["burn"])
    (run,) = asked(world, token)
    assert world.post(f"/agent/{token}/script/{run['id']}", body).status_code == 422
    assert row(world, run["id"]).status == "pending"


def test_nobody_reads_or_reports_the_runs_of_another_machine(world: World) -> None:
    script(world, "burn", code="echo secret")
    _, token = agent(world, world.machine(), "test", scripts=["burn"])
    (run,) = asked(world, token)
    stranger = world.machine("node-2", mac="52:54:00:77:00:02", address=None, hardware=None, system_uuid=None, serial="S2")
    world.start(stranger, "test", scripts=["burn"])
    other = world.token("52:54:00:77:00:02")
    assert world.hello(other, mac="52:54:00:77:00:02", identity={"macs": ["52:54:00:77:00:02"]}).status_code == 200
    for path in (f"/agent/{other}/script/{run['id']}", f"/agent/{'x' * 43}/script/{run['id']}", f"/agent/{token}/script/nothing"):
        assert world.get(path).status_code == 404
        assert world.post(path, DONE).status_code == 404
    assert row(world, run["id"]).status == "pending"


def test_scripts_are_only_told_to_an_agent_that_works(world: World) -> None:
    world.start(world.machine(), "test", scripts=[])
    token = world.token()
    assert world.post(f"/agent/{token}/scripts").status_code == 409
    world.hello(token)
    assert asked(world, token) == []


def test_a_deployment_runs_no_scripts(world: World) -> None:
    world.image()
    _, token = agent(world, world.machine(), "deploy")
    assert world.post(f"/agent/{token}/scripts").status_code == 409


def test_rescue_says_where_to_log_in_until_it_is_left(world: World) -> None:
    machine = world.machine()
    operation, token = agent(world, machine, "rescue", ssh_keys=["ssh-ed25519 AAAA ops"])
    key = "ssh-ed25519 " + "A" * 68
    result = {"address": ADDRESS, "host_keys": [key, "rm -rf /", 7]}
    world.post(f"/agent/{token}/step", {"step": "rescue", "status": "finished", "result": result})
    assert world.post(f"/agent/{token}/done").json == {"action": "stay"}
    stored = world.reload(machine)
    assert (stored.state, world.operation(operation).state) == ("rescue", "succeeded")
    told = {"address": ADDRESS, "host_keys": [key], "since": world.clock().isoformat()}
    assert stored.rescue is not None and told.items() <= stored.rescue.items()


@pytest.mark.parametrize("said", ["<script>", "fe80::1%x,*", 7])
def test_a_rescue_that_was_not_reached_leaves_nothing_to_log_in_to(world: World, said: object) -> None:
    machine = world.machine()
    operation, token = agent(world, machine, "rescue", ssh_keys=["ssh-ed25519 AAAA ops"])
    nonsense = {"address": said, "host_keys": "none"}
    world.post(f"/agent/{token}/step", {"step": "rescue", "status": "finished", "result": nonsense})
    rescue = world.reload(machine).rescue or {}
    assert (rescue["address"], rescue["host_keys"]) == (ADDRESS, [])
    world.change(lambda session: world.engine.abort(session, session.get_one(Operation, operation), by="ops"))
    assert (world.reload(machine).state, world.reload(machine).rescue) == ("ready", None)
