# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocations: a count and what it takes; the controller chooses."""

from __future__ import annotations

import pytest

MISSING = {"code": "allocation_not_found", "message": "There is no allocation hadoop.", "details": {}, "hint": ""}
TWO = {"name": "hadoop", "count": 2, "constraints": {"min_memory": 65536}, "machines": ["node1", "node2"]}
BODY = {"count": 2, "constraints": {"min_memory": "64GiB"}}


@pytest.mark.parametrize("check", [False, True])
def test_machines_are_claimed(controller, run_module, check):
    controller.hears("GET", "/allocations/hadoop", status=404, answers=MISSING)
    answer = {"allocation": TWO, "changed": True, "added": ["node1", "node2"], "removed": []}
    controller.hears("PUT", "/allocations/hadoop", BODY, query={"dry_run": "true"} if check else {}, answers=answer)
    result = run_module("allocation", check=check, name="hadoop", **BODY)
    assert (result["changed"], result["added"], result["allocation"]["machines"]) == (
        True,
        ["node1", "node2"],
        ["node1", "node2"],
    )


def test_asking_again_changes_nothing(controller, run_module):
    controller.hears("GET", "/allocations/hadoop", answers=TWO)
    answer = {"allocation": TWO, "changed": False, "added": [], "removed": []}
    controller.hears("PUT", "/allocations/hadoop", BODY, answers=answer)
    result = run_module("allocation", name="hadoop", **BODY)
    assert (result["changed"], result["diff"]["before"]) == (False, result["diff"]["after"])


def test_machines_are_given_back(controller, run_module):
    controller.hears("GET", "/allocations/hadoop", answers=TWO)
    answer = {"allocation": None, "changed": True, "added": [], "removed": ["node1", "node2"]}
    controller.hears("DELETE", "/allocations/hadoop", answers=answer)
    result = run_module("allocation", name="hadoop", state="absent")
    assert (result["changed"], result["allocation"], result["removed"]) == (True, None, ["node1", "node2"])


def test_a_count_is_needed(run_module):
    assert "state is present but all of the following are missing: count" in run_module("allocation", name="hadoop")["msg"]
