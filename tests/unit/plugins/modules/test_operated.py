# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are or are not, and operations that change it: power, rescue; and many machines behind one address."""

from __future__ import annotations

import pytest

DRY = {"dry_run": "true"}
NODE = {"id": "m1", "name": "node1", "state": "ready", "power": {"driver": "ipmi", "state": "off"}}
ON = {**NODE, "power": {"driver": "ipmi", "state": "on"}}
RUNNING = {"id": "op1", "kind": "power-on", "machine": {"id": "m1", "name": "node1"}, "state": "running", "next": []}
DONE = {**RUNNING, "state": "succeeded"}
STARTED = {"operation": RUNNING}
TIMELINE = {"kind": "power-on", "steps": [{"label": "power call", "seconds": 1.5}]}
STEPS = [{"operation": "power-on", "step": "power call", "seconds": 1.5}]


def verdict(state, *problems):
    return {"driver": "ipmi", "ok": not problems, "problems": list(problems), "state": state}


def test_a_machine_is_turned_on(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/m1/validate", answers=verdict("off"))
    controller.hears("POST", "/machines/node1/power-on", {}, status=202, answers=STARTED)
    controller.hears("GET", "/operations/op1", query={"wait": "20"}, answers=DONE)
    controller.hears("GET", "/machines/node1/timeline", query={"operation": "op1"}, answers=TIMELINE)
    controller.hears("GET", "/machines/node1", answers=ON)
    result = run_module("machine_power", name="node1", state="on")
    assert (result["changed"], result["machine"]["power"]["state"]) == (True, "on")
    assert result["diff"] == {"before": {"name": "node1", "power": "off"}, "after": {"name": "node1", "power": "on"}}
    assert (result["operation"]["state"], result["timeline"]) == ("succeeded", STEPS)


def test_a_check_asks_the_bmc_and_turns_nothing_on(controller, run_module):
    controller.hears("GET", "/machines/node1", answers=ON)
    controller.hears("POST", "/machines/m1/validate", answers=verdict("off"))
    controller.hears("POST", "/machines/node1/power-on", {}, query=DRY, status=202, answers=STARTED)
    result = run_module("machine_power", check=True, name="node1", state="on")
    assert (result["changed"], result["operation"]) == (True, None)


@pytest.mark.parametrize("told", ["on", "unknown", None])
def test_one_that_is_on_already_is_left_alone(controller, run_module, told):
    controller.hears("GET", "/machines/node1", answers=ON)
    controller.hears("POST", "/machines/m1/validate", answers=verdict(told))
    assert run_module("machine_power", name="node1", state="on")["changed"] is False


def test_a_bmc_without_an_answer_is_a_failure_with_its_hint(controller, run_module):
    problem = {"code": "bmc_unreachable", "message": "no answer from 10.0.1.1", "hint": "Check its address."}
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/m1/validate", answers=verdict(None, problem))
    result = run_module("machine_power", name="node1", state="on")
    assert (result["failed"], result["error"]["code"]) == (True, "bmc_unreachable")
    assert result["msg"] == "node1: no answer from 10.0.1.1. Check its address."


def test_whether_it_is_still_needed_is_looked_at_when_the_machine_is_idle(controller, run_module):
    busy = {"code": "machine_busy", "message": "node1 is busy.", "details": {"operation": "op1"}, "hint": ""}
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/m1/validate", answers=verdict("off"))
    controller.hears("POST", "/machines/node1/power-on", {}, status=409, answers=busy)
    controller.hears("GET", "/operations/op1", answers=DONE)
    controller.hears("GET", "/machines/node1", answers=ON)
    controller.hears("POST", "/machines/m1/validate", answers=verdict("on"))
    assert run_module("machine_power", name="node1", state="on")["changed"] is False


def test_into_rescue_without_waiting(controller, run_module):
    operation = {**RUNNING, "kind": "rescue"}
    controller.hears("GET", "/machines/node1", answers=NODE)
    controller.hears("POST", "/machines/node1/rescue", {"ssh_keys": ["k"]}, status=202, answers={"operation": operation})
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "rescuing"})
    result = run_module("machine_rescue", name="node1", ssh_keys=["k"], wait=False)
    assert (result["changed"], result["operation"]["state"], result["machine"]["state"]) == (True, "running", "rescuing")


@pytest.mark.parametrize("state,wished", [("rescue", "rescue"), ("ready", "normal"), ("failed", "normal")])
def test_where_it_is_to_be_it_stays(controller, run_module, state, wished):
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": state})
    assert run_module("machine_rescue", name="node1", state=wished, ssh_keys=["k"])["changed"] is False


def test_one_on_its_way_into_rescue_is_waited_for_and_taken_out(controller, run_module):
    busy = {"code": "machine_busy", "message": "node1 is busy.", "details": {"operation": "op1"}, "hint": ""}
    leaving = {**RUNNING, "id": "op2", "kind": "exit-rescue"}
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "rescuing"})
    controller.hears("POST", "/machines/node1/exit-rescue", {}, status=409, answers=busy)
    controller.hears("GET", "/operations/op1", answers={**DONE, "kind": "rescue"})
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "rescue"})
    controller.hears("POST", "/machines/node1/exit-rescue", {}, status=202, answers={"operation": leaving})
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "rescuing"})
    assert run_module("machine_rescue", name="node1", state="normal", wait=False)["changed"] is True


def test_out_of_rescue_in_check_mode(controller, run_module):
    controller.hears("GET", "/machines/node1", answers={**NODE, "state": "rescue"})
    controller.hears("POST", "/machines/node1/exit-rescue", {}, query=DRY, status=202, answers=STARTED)
    result = run_module("machine_rescue", check=True, name="node1", state="normal")
    assert (result["changed"], result["diff"]["after"]["rescue"]) == (True, "normal")


@pytest.mark.parametrize("check", [False, True])
def test_only_what_is_new_behind_an_address_is_added(controller, run_module, check):
    def found(name, outcome):
        return {"name": name, "macs": [], "outcome": outcome, "machine": name if outcome != "skipped" else None, "reason": ""}

    parameters = {"address": "10.0.1.1", "username": "root", "password": "hidden-word"}
    body = {"driver": "redfish", "parameters": parameters, "name_filter": "*", "pool": "lab", "zone": "default", "tags": []}
    items = [found("a", "added"), found("b", "known"), found("c", "skipped")]
    controller.hears("POST", "/chassis", body, query=DRY if check else {}, answers={"items": items, "added": 1})
    result = run_module("chassis", check=check, driver="redfish", parameters=parameters, pool="lab")
    assert (result["changed"], result["added"], result["machines"]) == (True, ["a"], items)
    assert result["diff"] == {"before": {"machines": ["b"]}, "after": {"machines": ["a", "b"]}}
    assert "hidden-word" not in str(result)
