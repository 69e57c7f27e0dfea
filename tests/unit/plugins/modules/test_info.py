# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that only look: lists always, empty where there is nothing, never a change."""

from __future__ import annotations

import pytest

MISSING = {"code": "not_found", "message": "There is none.", "details": {}, "hint": ""}


@pytest.mark.parametrize("module,path,key", [("machine_info", "/machines", "machines"), ("image_info", "/images", "images")])
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


def test_an_operation_is_looked_at(controller, run_module):
    controller.hears("GET", "/operations/op1", answers={"id": "op1", "state": "running"})
    assert run_module("operation_info", id="op1")["operation"]["state"] == "running"


def test_an_operation_is_waited_for(controller, run_module):
    running = {"id": "op1", "state": "running"}
    controller.hears("GET", "/operations/op1", answers=running)
    controller.hears("GET", "/operations/op1", query={"wait": "20"}, answers={"id": "op1", "state": "succeeded", "next": []})
    assert run_module("operation_info", id="op1", wait=True)["operation"]["state"] == "succeeded"
