# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines: described, converged by the controller's plan, waited for."""

from __future__ import annotations

import pytest

DRY = {"dry_run": "true"}
MISSING = {"code": "machine_not_found", "message": "There is no machine node1.", "details": {}, "hint": ""}
NODE = {
    "id": "m1",
    "name": "node1",
    "state": "new",
    "arch": "amd64",
    "firmware": None,
    "pool": "default",
    "zone": "default",
    "tags": ["a", "b"],
    "description": "",
    "operation": None,
    "power": {
        "driver": "ipmi",
        "state": "off",
        "parameters": {"address": "10.0.1.1", "username": "root", "password": "********"},
    },
    "interfaces": [
        {"mac": "52:54:00:00:00:01", "name": None, "boot": True, "address": None, "subnet": None},
        {"mac": "52:54:00:00:00:02", "name": None, "boot": False, "address": None, "subnet": None},
    ],
}
RUNNING = {
    "id": "op1",
    "kind": "deploy",
    "machine": {"id": "m1", "name": "node1"},
    "state": "running",
    "phase": "netboot",
    "progress": None,
    "message": "",
    "created_at": "2026-01-01T00:00:00+00:00",
    "ended_at": None,
    "failure": None,
    "next": [],
}
DONE = {**RUNNING, "state": "succeeded", "ended_at": "2026-01-01T00:05:00+00:00"}
TIMELINE = {"kind": "deploy", "steps": [{"name": "agent.hello", "label": "agent loaded and started", "seconds": 9.5}]}
STEPS = [{"operation": "deploy", "step": "agent loaded and started", "seconds": 9.5}]
DIFF = {"before": {"state": "ready"}, "after": {"state": "deployed", "image": "debian/12"}}
NOTHING = {"changed": False, "plan": [], "operation": None, "diff": {"before": {"state": "ready"}, "after": {"state": "ready"}}}
WISH = {"state": "deployed", "on_drift": "fail", "image": "debian/12"}


def test_a_machine_is_enlisted(controller, run_module):
    controller.hears("GET", "/machines/node1", status=404, answers=MISSING)
    power = {"driver": "ipmi", "parameters": {"address": "10.0.1.1", "username": "root", "password": "hidden-word"}}
    body = {"name": "node1", "macs": ["52:54:00:00:00:01"], "power": power, "tags": ["a", "b"]}
    controller.hears("POST", "/machines", body, status=201, answers=NODE)
    result = run_module("machine", name="node1", macs=["52:54:00:00:00:01"], power=power, tags=["a", "b"])
    assert result["changed"] is True
    assert result["machine"]["name"] == "node1"
    assert (result["plan"], result["operation"]) == ([], None)
    assert result["diff"]["after"]["macs"] == ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    assert "hidden-word" not in str(result)


ANNOUNCED = {
    **NODE,
    "name": "m-525400000001",
    "power": {"driver": "manual", "state": "unknown", "parameters": {}},
    "cpu_count": 4,
}
TAKEN = {
    "code": "mac_taken",
    "message": "The MAC address belongs to machine m-525400000001.",
    "details": {"machine": "m-525400000001"},
    "hint": "",
}


@pytest.mark.parametrize("check", [False, True])
def test_a_machine_that_announced_itself_is_named(controller, run_module, check):
    query = DRY if check else {}
    body = {"name": "node1", "macs": ["52:54:00:00:00:01"]}
    controller.hears("GET", "/machines/node1", status=404, answers=MISSING)
    controller.hears("POST", "/machines", body, query=query, status=409, answers=TAKEN)
    controller.hears("GET", "/machines/m-525400000001", answers=ANNOUNCED)
    controller.hears("PATCH", "/machines/m-525400000001", {"name": "node1"}, query=query, answers={**NODE, "changed": True})
    if not check:
        controller.hears("POST", "/machines/node1/converge", {"state": "ready", "on_drift": "fail"}, answers=NOTHING)
    result = run_module("machine", check=check, **body, state="ready")
    assert result["changed"] is True
    assert (result["diff"]["before"]["name"], result["diff"]["after"]["name"]) == ("m-525400000001", "node1")


@pytest.mark.parametrize("other", [{"state": "deployed"}, {"cpu_count": None}])
def test_a_machine_of_somebody_else_is_left_alone(controller, run_module, other):
    """Be it deployed, or added by a person or by another host of the same play that has the MAC address by mistake."""
    controller.hears("GET", "/machines/node1", status=404, answers=MISSING)
    controller.hears("POST", "/machines", {"name": "node1", "macs": ["52:54:00:00:00:01"]}, status=409, answers=TAKEN)
    controller.hears("GET", "/machines/m-525400000001", answers={**ANNOUNCED, **other})
    result = run_module("machine", name="node1", macs=["52:54:00:00:00:01"])
    assert (result["failed"], result["error"]["code"]) == (True, "mac_taken")


def test_what_commissioning_found_is_no_difference(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    result = run_module("machine", name="node1", macs=["52-54-00-00-00-01"], tags=["b", "a"])
    assert result["changed"] is False


def test_another_boot_interface_is_a_difference(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    macs = ["52:54:00:00:00:02", "52:54:00:00:00:01"]
    changed = {**NODE, "interfaces": NODE["interfaces"][::-1], "changed": True}
    controller.hears("PATCH", "/machines/node1", {"macs": macs}, answers=changed)
    assert run_module("machine", name="node1", macs=macs)["changed"] is True


@pytest.mark.parametrize("differs", [True, False])
def test_only_the_controller_knows_whether_a_password_is_another(controller, run_module, differs):
    controller.hears("GET", "/machines/node1", answers=NODE)
    power = {"driver": "ipmi", "parameters": {"address": "10.0.1.1", "username": "root", "password": "hidden-word"}}
    controller.hears("PATCH", "/machines/node1", {"power": power}, answers={**NODE, "changed": differs})
    result = run_module("machine", name="node1", power=power)
    assert result["changed"] is differs
    assert (result["diff"]["before"] != result["diff"]["after"]) is differs


def test_a_machine_is_deployed_and_waited_for(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    answer = {"changed": True, "plan": [{"operation": "deploy"}], "operation": RUNNING, "diff": DIFF}
    controller.hears("POST", "/machines/node1/converge", WISH, status=202, answers=answer)
    controller.hears("GET", "/operations/op1", query={"wait": "20"}, answers=DONE)
    controller.hears("GET", "/machines/node1/timeline", query={"operation": "op1"}, answers=TIMELINE)
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "deployed"})
    result = run_module("machine", name="node1", state="deployed", image="debian/12")
    assert result["timeline"] == STEPS
    assert result["changed"] is True
    assert result["machine"]["state"] == "deployed"
    assert result["operation"]["state"] == "succeeded"
    assert result["plan"] == [{"operation": "deploy"}]
    assert (result["diff"]["before"]["state"], result["diff"]["after"]["state"]) == ("ready", "deployed")


def test_secret_variables_are_shown_nowhere_and_blank_nothing_else(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    running = {**RUNNING, "id": "0f3d", "message": "playbook database"}
    answer = {"changed": True, "plan": [], "operation": running, "diff": DIFF}
    variables = {"replicas": 3, "role": "database", "key": ["hidden-word"]}
    wish = {**WISH, "playbook": "database", "playbook_vars": variables}
    controller.hears("POST", "/machines/node1/converge", wish, status=202, answers=answer)
    controller.hears("GET", "/machines/node1", answers=NODE)
    options = {"image": "debian/12", "playbook": "database", "playbook_vars": variables}
    result = run_module("machine", name="node1", state="deployed", wait=False, **options)
    assert (result["operation"]["id"], result["operation"]["message"]) == ("0f3d", "playbook database")
    told = result.get("invocation", {"module_args": {}})["module_args"]  # newer cores tell it only when they are asked to
    assert told.get("playbook_vars", "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER") == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert "hidden-word" not in str(result) and "mw_of_the_tests" not in str(result)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_an_id_is_no_name(controller, run_module, state):
    controller.hears("GET", "/machines/m1", answers=NODE)
    result = run_module("machine", name="m1", state=state)
    assert (result["failed"], result["error"]["code"]) == (True, "id_given")
    assert result["msg"].endswith("Give the name, which is node1.")


def test_without_wait_the_operation_is_returned_as_it_is(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    answer = {"changed": True, "plan": [{"operation": "deploy"}], "operation": RUNNING, "diff": DIFF}
    controller.hears("POST", "/machines/node1/converge", WISH, status=202, answers=answer)
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "deploying"})
    result = run_module("machine", name="node1", state="deployed", image="debian/12", wait=False)
    assert (result["operation"]["state"], result["machine"]["state"]) == ("running", "deploying")


def test_a_machine_that_is_there_already_is_left_alone(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/node1/converge", {"state": "ready", "on_drift": "fail"}, answers=NOTHING)
    result = run_module("machine", name="node1", state="ready")
    assert (result["changed"], result["operation"]) == (False, None)


def test_a_check_shows_the_plan_of_the_controller(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    answer = {"changed": True, "plan": [{"operation": "deploy"}], "operation": None, "diff": DIFF}
    controller.hears("POST", "/machines/node1/converge", WISH, query=DRY, answers=answer)
    result = run_module("machine", check=True, name="node1", state="deployed", image="debian/12")
    assert (result["changed"], result["plan"]) == (True, [{"operation": "deploy"}])
    assert result["diff"]["after"]["image"] == "debian/12"


@pytest.mark.parametrize("image", [200, 404])
def test_a_check_of_an_unknown_machine_shows_the_whole_way(controller, run_module, image):
    controller.hears("GET", "/machines/node1", status=404, answers=MISSING)
    controller.hears("POST", "/machines", {"name": "node1", "macs": ["52:54:00:00:00:01"]}, query=DRY, status=201, answers=NODE)
    controller.hears("GET", "/images/debian/12", status=image, answers={**MISSING, "name": "debian/12"})
    result = run_module(
        "machine",
        check=True,
        name="node1",
        macs=["52:54:00:00:00:01"],
        state="deployed",
        image="debian/12",
        user_data="#cloud-config\n",
    )
    assert result["changed"] is True
    assert result["plan"] == [{"operation": "commission"}, {"operation": "deploy"}]
    assert result["diff"]["after"]["state"] == "deployed"
    assert "user_data" not in result["diff"]["after"]
    assert ("There is no image debian/12 yet" in str(result.get("warnings", []))) == (image == 404)


def test_a_busy_machine_is_waited_for_first(controller, run_module):
    busy = {"code": "machine_busy", "message": "node1 is busy.", "details": {"operation": "op1"}, "hint": ""}
    wish = {"state": "ready", "on_drift": "fail"}
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/node1/converge", wish, status=409, answers=busy)
    controller.hears("GET", "/operations/op1", answers=RUNNING)
    controller.hears("GET", "/operations/op1", query={"wait": "20"}, answers=DONE)
    controller.hears("POST", "/machines/node1/converge", wish, answers=NOTHING)
    assert run_module("machine", name="node1", state="ready")["changed"] is False


def test_a_check_of_a_busy_machine_says_so(controller, run_module):
    busy = {"code": "machine_busy", "message": "node1 is busy.", "details": {"operation": "op1"}, "hint": "Wait for it."}
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears(
        "POST", "/machines/node1/converge", {"state": "ready", "on_drift": "fail"}, query=DRY, status=409, answers=busy
    )
    result = run_module("machine", check=True, name="node1", state="ready")
    assert (result["failed"], result["msg"]) == (True, "node1 is busy. Wait for it.")


def test_a_machine_is_held_for_somebody(controller, run_module):
    wish = {"state": "allocated", "on_drift": "fail", "allocation": "hadoop", "erase": "full"}
    diff = {"before": {"state": "ready"}, "after": {"state": "allocated", "allocation": "hadoop"}}
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "ready"})
    controller.hears(
        "POST", "/machines/node1/converge", wish, answers={"changed": True, "plan": [], "operation": None, "diff": diff}
    )
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "allocated", "allocation": "hadoop"})
    result = run_module("machine", name="node1", state="allocated", allocation="hadoop", erase="full")
    assert (result["changed"], result["operation"], result["machine"]["allocation"]) == (True, None, "hadoop")
    assert (result["diff"]["before"]["state"], result["diff"]["after"]["allocation"]) == ("ready", "hadoop")


def test_a_check_of_an_unknown_machine_that_is_to_be_held(controller, run_module):
    controller.hears("GET", "/machines/node1", status=404, answers=MISSING)
    controller.hears("POST", "/machines", {"name": "node1", "macs": ["52:54:00:00:00:01"]}, query=DRY, status=201, answers=NODE)
    options = {"name": "node1", "macs": ["52:54:00:00:00:01"], "state": "allocated", "allocation": "hadoop"}
    result = run_module("machine", check=True, **options)
    assert (result["plan"], result["diff"]["after"]["allocation"]) == ([{"operation": "commission"}], "hadoop")


@pytest.mark.parametrize(
    "options,wish",
    [
        ({"state": "ready", "erase": "secure"}, {"state": "ready", "on_drift": "fail", "erase": "secure"}),
        ({"state": "ready", "wipe_adopted": True}, {"state": "ready", "on_drift": "fail", "wipe_adopted": True}),
        ({"state": "deployed", "image": "debian/12", "wipe_adopted": True}, {**WISH, "wipe_adopted": True}),
    ],
)
def test_what_may_be_wiped_and_how_is_part_of_the_wish(controller, run_module, options, wish):
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/node1/converge", wish, answers=NOTHING)
    assert run_module("machine", name="node1", **options)["changed"] is False


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("state", ["ready", "deployed"])
def test_a_machine_that_is_not_to_be_used_is_refused_with_the_way_out(controller, run_module, check, state):
    broken = {
        "code": "machine_broken",
        "message": "node1 was marked broken: fan 3 is dead.",
        "details": {"machine": "node1", "note": "fan 3 is dead"},
        "hint": "When it is mended: metalwright machine mark-fixed node1",
    }
    wish = WISH if state == "deployed" else {"state": "ready", "on_drift": "fail"}
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "broken"})
    controller.hears("POST", "/machines/node1/converge", wish, query=DRY if check else {}, status=409, answers=broken)
    result = run_module(
        "machine", check=check, name="node1", state=state, **({"image": "debian/12"} if state == "deployed" else {})
    )
    assert (result["failed"], result["error"]["code"]) == (True, "machine_broken")
    assert "fan 3 is dead" in result["msg"]
    assert "metalwright machine mark-fixed node1" in result["msg"]


def test_the_description_of_a_broken_machine_may_change(controller, run_module):
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "broken"})
    controller.hears("PATCH", "/machines/node1", {"zone": "cellar"}, answers={**NODE, "zone": "cellar", "changed": True})
    assert run_module("machine", name="node1", zone="cellar")["changed"] is True


def test_a_failure_tells_why(controller, run_module):
    failure = {
        "code": "no_netboot",
        "message": "node1: no sign of life",
        "phase": "netboot",
        "hint": "Look at the boot order.",
        "last_seen": "",
        "log_tail": "",
    }
    controller.hears("GET", "/machines/node1", answers=NODE)
    answer = {"changed": True, "plan": [{"operation": "deploy"}], "operation": RUNNING, "diff": DIFF}
    controller.hears("POST", "/machines/node1/converge", WISH, status=202, answers=answer)
    controller.hears("GET", "/operations/op1", query={"wait": "20"}, answers={**DONE, "state": "failed", "failure": failure})
    controller.hears("GET", "/machines/node1/timeline", query={"operation": "op1"}, answers=TIMELINE)
    result = run_module("machine", name="node1", state="deployed", image="debian/12")
    assert result["failed"] is True
    assert result["msg"].splitlines() == [
        "node1: deploy failed in phase netboot: no sign of life.",
        "  code: no_netboot",
        "  hint: Look at the boot order.",
        "  ways out: metalwright explain node1",
    ]
    assert result["error"]["code"] == "no_netboot"
    assert (result["failure"], result["operation"]["id"], result["timeline"]) == (failure, "op1", STEPS)


def test_options_reach_the_controller_under_their_names(controller, run_module, tmp_path):
    text = "#cloud-config\r\npackages: [htop]\n# \u00fc\n"
    file = tmp_path / "user-data"
    file.write_bytes(text.encode())
    power_state = {"delay": "+30", "mode": "poweroff", "message": "Bye Bye", "timeout": 30, "condition": True}
    options = {
        "hostname": "www",
        "ssh_keys": ["ssh-ed25519 AAAA"],
        "packages": ["htop"],
        "package_update": True,
        "package_upgrade": False,
        "timezone": "Europe/Paris",
        "power_state": power_state,
        "address": "10.0.0.9",
        "disk": {"rotational": False},
    }
    wish = {**WISH, **options, "user_data": text, "manage_etc_hosts": False}
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/node1/converge", wish, answers=NOTHING)
    run_module(
        "machine", name="node1", state="deployed", image="debian/12", user_data_file=str(file), manage_etc_hosts=False, **options
    )


def test_a_file_that_can_not_be_read_is_named(controller, run_module, tmp_path):
    controller.hears("GET", "/machines/node1", answers=NODE)
    missing = str(tmp_path / "missing")
    result = run_module("machine", name="node1", state="deployed", image="debian/12", user_data_file=missing)
    assert f"user_data_file {missing} can not be read" in result["msg"]
