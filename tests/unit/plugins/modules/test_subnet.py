# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's way, on the plainest of resources: read, compare, write, result and diff; in check mode as a dry run."""

from __future__ import annotations

import pytest

LAB = {
    "id": "1",
    "name": "lab",
    "cidr": "10.0.0.0/24",
    "gateway": None,
    "dns_servers": [],
    "domain": None,
    "dhcp": True,
    "enlist": False,
    "ntp_servers": [],
    "search": [],
    "relays": [],
    "vlan": None,
    "ranges": [
        {"kind": "static", "start": "10.0.0.10", "end": "10.0.0.89", "comment": ""},
        {"kind": "dynamic", "start": "10.0.0.100", "end": "10.0.0.149", "comment": "boot"},
    ],
    "rack": "default",
}
MISSING = {"code": "subnet_not_found", "message": "There is no subnet lab.", "details": {}, "hint": ""}
DRY = {"dry_run": "true"}


@pytest.mark.parametrize("check", [False, True])
def test_what_is_missing_is_made(controller, run_module, check):
    controller.hears("GET", "/subnets/lab", status=404, answers=MISSING)
    controller.hears(
        "POST", "/subnets", {"name": "lab", "cidr": "10.0.0.0/24"}, query=DRY if check else {}, status=201, answers=LAB
    )
    result = run_module("subnet", check=check, name="lab", cidr="10.0.0.0/24")
    assert result["changed"] is True
    assert result["subnet"]["cidr"] == "10.0.0.0/24"
    assert result["diff"]["before"] == {}
    assert result["diff"]["after"]["cidr"] == "10.0.0.0/24"


@pytest.mark.parametrize("check", [False, True])
def test_only_what_differs_is_sent(controller, run_module, check):
    controller.hears("GET", "/subnets/lab", answers=LAB)
    changed = {**LAB, "enlist": True, "changed": True}
    controller.hears("PATCH", "/subnets/lab", {"enlist": True}, query=DRY if check else {}, answers=changed)
    result = run_module("subnet", check=check, name="lab", cidr="10.0.0.0/24", enlist=True)
    assert result["changed"] is True
    assert "changed" not in result["subnet"]
    assert (result["diff"]["before"]["enlist"], result["diff"]["after"]["enlist"]) == (False, True)


def test_what_is_as_wished_is_left_alone(controller, run_module):
    controller.hears("GET", "/subnets/lab", answers=LAB)
    result = run_module("subnet", name="lab", cidr="10.0.0.0/24", dhcp=True)
    assert result["changed"] is False
    assert result["diff"]["before"] == result["diff"]["after"]


def test_ranges_are_the_same_in_any_order(controller, run_module):
    controller.hears("GET", "/subnets/lab", answers=LAB)
    ranges = [{**LAB["ranges"][1]}, {"kind": "static", "start": "10.0.0.10", "end": "10.0.0.89"}]
    result = run_module("subnet", name="lab", ranges=ranges)
    assert result["changed"] is False


def test_ranges_are_changed_as_a_whole(controller, run_module):
    static = {"kind": "static", "start": "10.0.0.10", "end": "10.0.0.99", "comment": ""}
    controller.hears("GET", "/subnets/lab", answers=LAB)
    changed = {**LAB, "ranges": [static], "changed": True}
    controller.hears("PATCH", "/subnets/lab", {"ranges": [static]}, query={}, answers=changed)
    result = run_module("subnet", name="lab", ranges=[{"kind": "static", "start": "10.0.0.10", "end": "10.0.0.99"}])
    assert result["changed"] is True
    assert (len(result["diff"]["before"]["ranges"]), result["diff"]["after"]["ranges"]) == (2, [static])


@pytest.mark.parametrize("check", [False, True])
def test_what_is_unwanted_is_removed(controller, run_module, check):
    controller.hears("GET", "/subnets/lab", answers=LAB)
    controller.hears("DELETE", "/subnets/lab", query=DRY if check else {}, status=204)
    result = run_module("subnet", check=check, name="lab", state="absent")
    assert (result["changed"], result["subnet"], result["diff"]["after"]) == (True, None, {})


def test_what_is_absent_stays_absent(controller, run_module):
    controller.hears("GET", "/subnets/lab", status=404, answers=MISSING)
    result = run_module("subnet", name="lab", state="absent")
    assert (result["changed"], result["subnet"]) == (False, None)


def test_a_refusal_is_told_with_its_hint(controller, run_module):
    controller.hears("GET", "/subnets/lab", status=404, answers=MISSING)
    refusal = {
        "code": "subnet_overlaps",
        "message": "lab overlaps office.",
        "details": {"subnet": "office"},
        "hint": "Choose another.",
    }
    controller.hears("POST", "/subnets", {"name": "lab", "cidr": "10.0.0.0/24"}, status=409, answers=refusal)
    result = run_module("subnet", name="lab", cidr="10.0.0.0/24")
    assert result["failed"] is True
    assert result["msg"] == "lab overlaps office. Choose another."
    assert result["error"] == {**refusal, "status": 409}
