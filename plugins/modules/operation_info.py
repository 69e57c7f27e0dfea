#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about operations."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operation_info
short_description: Look at operations, or wait for one
version_added: 0.1.0
description:
  - Returns operations, the newest first. Changes nothing.
  - With O(wait=true) it returns when the operation, and those planned to follow it, have ended, and fails when one of them did
    not succeed. So work can be started on many machines before the first one is waited for.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.listing.recent
  - metalwright.fleet.attributes.info
options:
  id:
    description:
      - ID of one operation, as M(metalwright.fleet.machine) returns it.
      - Where there is none, the list that is returned is empty, unless it was to be waited for.
    type: str
  machine:
    description: Only operations on this machine, by its name or ID.
    type: str
  state:
    description: Only operations that are V(queued), V(running), V(succeeded), V(failed) or V(aborted).
    type: list
    elements: str
  kind:
    description: Only operations of these kinds, for example V(deploy).
    type: list
    elements: str
  wait:
    description: Whether to wait until it has ended. Needs O(id).
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 7200
seealso:
  - module: metalwright.fleet.machine
"""

EXAMPLES = r"""
- name: Start everywhere
  metalwright.fleet.machine:
    name: "{{ item }}"
    state: deployed
    image: debian/12
    wait: false
  loop: [node1, node2, node3]
  register: deployments

- name: Wait for all
  metalwright.fleet.operation_info:
    id: "{{ item.operation.id }}"
    wait: true
  loop: "{{ deployments.results | selectattr('operation') }}"
  loop_control:
    label: "{{ item.item }}"

- name: Look at what is under way
  metalwright.fleet.operation_info:
    state: [queued, running]
    fields: [machine, kind, phase, progress]
  register: busy
"""

RETURN = r"""
operations:
  description: The operations. Their keys are those of RV(operation).
  returned: success
  type: list
  elements: dict
timeline:
  description: Where the time went, with O(wait=true). Each has the keys C(operation), C(step) and C(seconds).
  returned: success
  type: list
  elements: dict
operation:
  description: The one that O(id) names, V(null) if there is none. With O(wait=true) the last one, when others followed.
  returned: success
  type: dict
  sample:
    id: 5f0c1d2e3a4b5c6d
    kind: deploy
    machine:
      id: 0c6e2a9f3b1d4857
      name: node1
    state: succeeded
    phase: first-boot
    progress: 100
    message: cloud-init finished
    next: []
    followed_by: null
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing, chosen
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import WAITING, Waiter

FILTERS = {"machine": {"type": "str"}, "state": MANY, "kind": MANY}

OPERATIONS = Listing("operations", "/operations", FILTERS, key="id", recent=True)


def look(module, client):
    """Return the operations, one that is waited for when it has ended."""
    params = module.params
    timeline = []
    if params["wait"]:
        waiter = Waiter(client, params["wait_timeout"])
        found = [chosen(waiter.operation(client.get(f"/operations/{params['id']}")), params["fields"])]
        timeline = waiter.timeline()
    else:
        found = OPERATIONS.look(module, client)["operations"]
    return {"operations": found, "operation": found[0] if params["id"] and found else None, "timeline": timeline}


def main():
    """Run the module."""
    run(
        look,
        {**OPERATIONS.options(), **WAITING, "wait": {"type": "bool", "default": False}},
        mutually_exclusive=[("id", other) for other in FILTERS],
        required_if=[("wait", True, ["id"])],
    )


if __name__ == "__main__":
    main()
