#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about operations."""

from __future__ import annotations

DOCUMENTATION = r"""
module: operation_info
short_description: Look at an operation, or wait for it
version_added: 0.1.0
description:
  - Returns an operation. Changes nothing.
  - With O(wait=true) it returns when the operation, and those planned to follow it, have ended, and fails when one of them did
    not succeed. So work can be started on many machines before the first one is waited for.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes.info
options:
  id:
    description: ID of the operation, as M(metalwright.fleet.machine) returns it.
    type: str
    required: true
  wait:
    description: Whether to wait until it has ended.
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
"""

RETURN = r"""
operation:
  description: The operation. With O(wait=true) the last one, when others followed.
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
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import WAITING, Waiter

OPTIONS = {
    "id": {"type": "str", "required": True},
    **WAITING,
    "wait": {"type": "bool", "default": False},
}


def look(module, client):
    """Return the operation, when it has ended if that is wished."""
    operation = client.get(f"/operations/{module.params['id']}")
    if module.params["wait"]:
        operation = Waiter(client, module.params["wait_timeout"]).operation(operation)
    return {"operation": operation}


def main():
    """Run the module."""
    run(look, OPTIONS)


if __name__ == "__main__":
    main()
