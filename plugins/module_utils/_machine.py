# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Machines: what may be wished of one, and how it gets there. Private to this collection: it may change in any release.

The way from one state to another is not known here: the controller's C(converge) plans and carries it out.
"""

from __future__ import annotations

from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError, segment
from ansible_collections.metalwright.fleet.plugins.module_utils._power import POWER
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, stated, text
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import Waiter, once_idle

DESCRIPTION = {
    "macs": {"type": "list", "elements": "str"},
    "power": POWER,
    "arch": {"type": "str"},
    "firmware": {"type": "str", "choices": ["bios", "uefi"]},
    "pool": {"type": "str"},
    "zone": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "description": {"type": "str"},
}
"""Options that describe a machine to the controller."""

DEPLOY = {
    "image": {"type": "str"},
    "hostname": {"type": "str"},
    "ssh_keys": {"type": "list", "elements": "str", "no_log": False},
    "user_data": {"type": "str", "no_log": True},
    "manage_etc_hosts": {"type": "str", "choices": ["true", "false", "localhost"]},
    "packages": {"type": "list", "elements": "str"},
    "package_update": {"type": "bool"},
    "package_upgrade": {"type": "bool"},
    "timezone": {"type": "str"},
    "power_state": {"type": "dict"},
    "address": {"type": "str"},
    "disk": {
        "type": "dict",
        "options": {
            "name": {"type": "str"},
            "serial": {"type": "str"},
            "wwn": {"type": "str"},
            "model": {"type": "str"},
            "min_size_gib": {"type": "int"},
            "rotational": {"type": "bool"},
        },
    },
}
"""Options that say how a machine is deployed: the body of a deployment."""

PLAYBOOK = {
    "playbook": {"type": "str"},
    "playbook_vars": {"type": "dict", "no_log": True},
    "playbook_timeout": {"type": "int"},
}
"""Options that say which playbook the controller runs on a machine."""

PLANS = {
    "ready": [{"operation": "commission"}],
    "allocated": [{"operation": "commission"}],
    "deployed": [{"operation": "commission"}, {"operation": "deploy"}],
}
"""What a machine that is not known yet, and so can not be planned for by the controller, has before it."""


def _macs(machine):
    return [interface["mac"] for interface in machine["interfaces"]]


def _power(machine):
    return {"driver": machine["power"]["driver"], "parameters": machine["power"]["parameters"]}


def _has_macs(macs, wished):
    """Whether a machine has these interfaces and boots from the first; commissioning may have found more."""
    wished = [_plain(mac) for mac in wished]
    macs = [_plain(mac) for mac in macs]
    return set(wished) <= set(macs) and wished[:1] == macs[:1]


def _plain(mac):
    return "".join(digit for digit in mac.lower() if digit in "0123456789abcdef")


MACHINE = Resource(
    "machine",
    "/machines",
    DESCRIPTION,
    seen={"macs": _macs, "power": _power},
    satisfied={"macs": _has_macs, "tags": lambda tags, wished: set(tags) == set(wished)},
    needed=("macs",),
)


def ensure(module, client):
    """Bring a machine to the state that the module's options wish; return the module's result."""
    params = module.params
    before, after = _enlisted(client, params)
    result = {**MACHINE.result(before, after), "plan": [], "operation": None, "timeline": []}
    if params["state"] in PLANS:
        waiter = None if module.check_mode else Waiter(client, params["wait_timeout"])
        known = before is not None and before["name"] == params["name"]
        answer = _converge(client, waiter, params) if known or waiter else _planned(module, client, params)
        _add(result, answer)
        operation = answer["operation"]
        if operation is not None:
            result["operation"] = waiter.operation(operation) if params["wait"] and waiter else operation
        if answer["changed"] and waiter:
            result["timeline"] = waiter.timeline()
            result["machine"] = MACHINE.read(client, params["name"])
    return result


def _enlisted(client, params):
    """Have the machine known; one that has announced itself under a name of its own gets the name that is wished."""
    try:
        return MACHINE.ensure(client, params)
    except ApiError as error:
        if error.code != "mac_taken":
            raise
        found = MACHINE.read(client, error.details["machine"])
        if found is None or found["state"] != "new" or found["cpu_count"] is None:
            raise  # somebody has added it: two that share a card by mistake would take the name from each other at every run
        return found, MACHINE.change(client, found, params)


def _planned(module, client, params):
    """Answer for the controller what it will answer once it knows the machine, which a check does not make known."""
    shown = {"state": params["state"]}
    if params["state"] == "allocated":
        shown["allocation"] = params["allocation"]
    if params["state"] == "deployed":
        shown.update({name: value for name, value in _deployment(params).items() if name != "user_data"})
        if client.find(f"/images/{segment(params['image'])}") is None:  # a task before this one may make it, but for the check
            module.warn(f"There is no image {params['image']} yet; without it, {params['name']} can not be deployed.")
    return {"changed": True, "plan": PLANS[params["state"]], "operation": None, "diff": {"before": {}, "after": shown}}


def _converge(client, waiter, params):
    """Ask the controller to bring the machine there."""
    wish = _wish(params)
    return once_idle(waiter, lambda: client.write("POST", MACHINE.where(params["name"]) + "/converge", wish))


def _wish(params):
    wish = {"state": params["state"], "on_drift": params["on_drift"], **_playbook(params)}
    if params["wipe_adopted"]:
        wish["wipe_adopted"] = True
    if params["state"] == "deployed":
        wish.update(_deployment(params))
    elif params["erase"] is not None:
        wish["erase"] = params["erase"]
    if params["state"] == "allocated":
        wish["allocation"] = params["allocation"]
    return wish


def _playbook(params):
    return {name: params[name] for name in PLAYBOOK if params[name] is not None}


def _deployment(params):
    options = {name: stated(params[name]) for name in DEPLOY if params[name] is not None}
    user_data = text(params, "user_data")
    if user_data is not None:
        options["user_data"] = user_data
    if "manage_etc_hosts" in options:
        options["manage_etc_hosts"] = {"true": True, "false": False}.get(options["manage_etc_hosts"], "localhost")
    return options


def _add(result, answer):
    result["changed"] = result["changed"] or answer["changed"]
    result["plan"] = answer["plan"]
    for side in ("before", "after"):
        result["diff"][side] = {**result["diff"][side], **answer["diff"][side]}
