# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Allocations: the controller chooses the machines. Private to this collection: it may change in any release."""

from __future__ import annotations

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, stated

CONSTRAINTS = {
    "name": {"type": "str"},
    "min_cpus": {"type": "int"},
    "min_memory": {"type": "str"},
    "min_disk": {"type": "str"},
    "arch": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "not_tags": {"type": "list", "elements": "str"},
    "pool": {"type": "str"},
    "zone": {"type": "str"},
    "hardware": {"type": "str"},
}

FIELDS = {
    "count": {"type": "int"},
    "constraints": {"type": "dict", "default": {}, "options": CONSTRAINTS},
}

ALLOCATION = Resource("allocation", "/allocations", {**FIELDS, "machines": {}})


def ensure(module, client):
    """Have a claim on so many machines, or none; return the module's result."""
    params = module.params
    where = ALLOCATION.where(params["name"])
    before = ALLOCATION.read(client, params["name"])
    if params["state"] == "present":
        answer = client.write("PUT", where, stated({field: params[field] for field in FIELDS}))
    elif before is not None:
        answer = client.write("DELETE", where)
    else:
        answer = {"allocation": None, "changed": False, "added": [], "removed": []}
    result = ALLOCATION.result(before, answer["allocation"])
    return {**result, **{name: answer[name] for name in ("changed", "added", "removed")}}
