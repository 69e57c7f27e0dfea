# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that only look: lists always, empty where there is nothing, never a change."""

from __future__ import annotations

import pytest

MISSING = {"code": "not_found", "message": "There is none.", "details": {}, "hint": ""}


LISTS = {
    "allocation_info": ("/allocations", "allocations"),
    "image_info": ("/images", "images"),
    "machine_info": ("/machines", "machines"),
    "pool_info": ("/pools", "pools"),
    "rule_info": ("/rules", "rules"),
    "script_info": ("/scripts", "scripts"),
    "subnet_info": ("/subnets", "subnets"),
    "token_info": ("/tokens", "tokens"),
    "webhook_info": ("/webhooks", "webhooks"),
}


@pytest.mark.parametrize("module,path,key", [(module, *where) for module, where in LISTS.items()])
def test_one_all_or_none(controller, run_module, module, path, key):
    controller.hears("GET", path + "/x", answers={"name": "x"})
    controller.hears("GET", path + "/y", status=404, answers=MISSING)
    controller.hears("GET", path, query={"limit": "1000"}, answers={"items": [{"name": "x"}], "next": None})
    one, none, everything = run_module(module, name="x"), run_module(module, check=True, name="y"), run_module(module)
    assert (one[key], none[key], everything[key]) == ([{"name": "x"}], [], [{"name": "x"}])
    assert not any(result["changed"] for result in (one, none, everything))


def test_machines_are_filtered_by_the_controller(controller, run_module):
    query = {"limit": "1000", "state": "ready", "tag": "ssd", "pool": "lab"}
    controller.hears("GET", "/machines", query=query, answers={"items": [], "next": None})
    assert run_module("machine_info", state="ready", tags=["ssd"], pool="lab")["machines"] == []


def test_only_the_keys_that_are_wished_are_asked_for(controller, run_module):
    query = {"limit": "1000", "fields": "state"}
    controller.hears("GET", "/machines", query=query, answers={"items": [{"state": "ready"}], "next": None})
    controller.hears("GET", "/machines/node1", answers={"name": "node1", "state": "ready"})
    assert run_module("machine_info", fields=["state"])["machines"] == [{"state": "ready"}]
    assert run_module("machine_info", name="node1", fields=["state"])["machines"] == [{"state": "ready"}]


def test_scripts_are_filtered_by_what_they_are(controller, run_module):
    query = {"limit": "1000", "kind": "test", "builtin": "False"}
    controller.hears("GET", "/scripts", query=query, answers={"items": [], "next": None})
    assert run_module("script_info", kind="test", builtin=False)["scripts"] == []


def test_a_list_without_an_end_is_read_as_far_as_wished(controller, run_module):
    controller.hears("GET", "/operations", query={"limit": "1000", "state": "failed"}, answers={"items": [1] * 1000, "next": "c"})
    query = {"limit": "200", "state": "failed", "cursor": "c"}
    controller.hears("GET", "/operations", query=query, answers={"items": [2] * 200, "next": "d"})
    result = run_module("operation_info", state="failed", limit=1200)
    assert (len(result["operations"]), result["operation"]) == (1200, None)


def test_runs_of_a_machine(controller, run_module):
    query = {"limit": "100", "status": "failed"}
    controller.hears("GET", "/machines/node1/scripts", query=query, answers={"items": [{"id": "r1"}], "next": None})
    controller.hears("GET", "/machines/node1/scripts/r1", answers={"id": "r1", "output": "bad"})
    controller.hears("GET", "/machines/node1/scripts/memory", status=404, answers=MISSING)
    assert run_module("script_run_info", machine="node1", status="failed")["runs"] == [{"id": "r1"}]
    assert run_module("script_run_info", machine="node1", run="r1")["runs"][0]["output"] == "bad"
    assert run_module("script_run_info", machine="node1", run="memory")["runs"] == []


def test_power_drivers_are_listed(controller, run_module):
    controller.hears("GET", "/power/drivers", query={"limit": "1000"}, answers={"items": [{"name": "ipmi"}], "next": None})
    assert run_module("power_driver_info")["power_drivers"] == [{"name": "ipmi"}]


def test_events_from_a_cursor_on(controller, run_module):
    query = {"after": "7", "limit": "2", "kind": "operation.failed"}
    controller.hears("GET", "/events", query=query, answers={"events": [{"id": 9}], "cursor": 9})
    result = run_module("event_info", after=7, limit=2, kind="operation.failed")
    assert (result["events"], result["cursor"], result["changed"]) == ([{"id": 9}], 9, False)


def test_an_operation_is_looked_at(controller, run_module):
    controller.hears("GET", "/operations/op1", answers={"id": "op1", "state": "running"})
    result = run_module("operation_info", id="op1")
    assert result["operation"]["state"] == "running"
    assert result["operations"] == [result["operation"]]
    controller.hears("GET", "/operations/op2", status=404, answers=MISSING)
    none = run_module("operation_info", id="op2")
    assert (none["operations"], none["operation"]) == ([], None)


def test_an_operation_is_waited_for(controller, run_module):
    running = {"id": "op1", "state": "running"}
    controller.hears("GET", "/operations/op1", answers=running)
    done = {"id": "op1", "state": "succeeded", "next": [], "machine": {"name": "node1"}}
    controller.hears("GET", "/operations/op1", query={"wait": "20"}, answers=done)
    steps = [{"label": "finished", "seconds": 3.0}]
    controller.hears("GET", "/machines/node1/timeline", query={"operation": "op1"}, answers={"kind": "deploy", "steps": steps})
    result = run_module("operation_info", id="op1", wait=True)
    assert result["operation"]["state"] == "succeeded"
    assert result["timeline"] == [{"operation": "deploy", "step": "finished", "seconds": 3.0}]
