# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces are declared as one list: what was left out is not sent, and the controller says whether it changed."""

from __future__ import annotations

import pytest

BOND = {"name": "bond0", "type": "bond", "members": ["eth0", "eth1"], "links": [{"mode": "auto"}]}
NONE = {"machine": "node1", "interfaces": [], "addresses": [], "pending": False, "problem": None}
ADDRESS = {"interface": "bond0", "subnet": "lab", "address": "10.0.0.10", "main": True}
DECLARED = {**NONE, "interfaces": [BOND], "addresses": [ADDRESS]}
MISSING = {"code": "machine_not_found", "message": "There is no machine node1.", "details": {}, "hint": ""}
DRY = {"dry_run": "true"}
PATH = "/machines/node1/network"


@pytest.mark.parametrize("check", [False, True])
def test_the_whole_list_is_declared(controller, run_module, check):
    controller.hears("GET", PATH, answers=NONE)
    controller.hears("PUT", PATH, {"interfaces": [BOND]}, query=DRY if check else {}, answers={**DECLARED, "changed": True})
    result = run_module("machine_interface", check=check, machine="node1", interfaces=[BOND])
    assert result["changed"] is True
    assert result["network"] == DECLARED
    assert result["diff"]["before"] == {"interfaces": [], "addresses": []}
    assert result["diff"]["after"] == {"interfaces": [BOND], "addresses": [ADDRESS]}


def test_what_is_declared_already_is_no_change(controller, run_module):
    controller.hears("GET", PATH, answers=DECLARED)
    controller.hears("PUT", PATH, {"interfaces": [BOND]}, answers={**DECLARED, "changed": False})
    result = run_module("machine_interface", machine="node1", interfaces=[BOND])
    assert (result["changed"], result["diff"]["before"]) == (False, result["diff"]["after"])


def test_nothing_declared_is_an_empty_list(controller, run_module):
    controller.hears("GET", PATH, answers=DECLARED)
    controller.hears("PUT", PATH, {"interfaces": []}, answers={**NONE, "changed": True})
    assert run_module("machine_interface", machine="node1", state="absent")["network"] == NONE


def test_a_check_looks_beyond_a_machine_that_is_still_to_be_made(controller, run_module):
    controller.hears("GET", PATH, status=404, answers=MISSING)
    result = run_module("machine_interface", check=True, machine="node1", interfaces=[BOND])
    assert (result["changed"], result["diff"]["after"]) == (True, {"interfaces": [BOND]})


def test_a_machine_that_is_not_there_has_no_network(controller, run_module):
    controller.hears("GET", PATH, status=404, answers=MISSING)
    result = run_module("machine_interface_info", machine="node1")
    assert (result["changed"], result["network"]) == (False, None)


def test_a_refusal_names_what_clashes(controller, run_module):
    controller.hears("GET", PATH, answers=NONE)
    clash = {"machine": "node1", "rule": "bond_empty", "clash": ["bond0", "members"]}
    refusal = {"code": "bond_empty", "message": "node1: bond bond0 has no members.", "details": clash, "hint": ""}
    controller.hears("PUT", PATH, {"interfaces": [{**BOND, "members": []}]}, status=422, answers=refusal)
    result = run_module("machine_interface", machine="node1", interfaces=[{**BOND, "members": []}])
    assert result["error"]["details"] == clash
