#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A named claim on machines."""

from __future__ import annotations

DOCUMENTATION = r"""
module: allocation
short_description: Claim machines by what they can do
version_added: 0.1.0
description:
  - An allocation is a name, a count, and what each machine must have. The controller chooses the machines, cheapest fit first,
    among those that are V(ready), and nobody else gets them.
  - Asking again changes nothing. A larger count adds machines, a smaller one gives some back.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the allocation.
    type: str
    required: true
  state:
    description:
      - Whether the claim is to be there.
      - V(absent) gives the machines back. The controller refuses it while one of them is deployed.
    type: str
    choices: [present, absent]
    default: present
  count:
    description: How many machines are claimed. Needed with O(state=present).
    type: int
  constraints:
    description: What each of the machines must have.
    type: dict
    default: {}
    suboptions:
      name:
        description: The machine of this name, and no other.
        type: str
      min_cpus:
        description: CPU threads, at least.
        type: int
      min_memory:
        description: Memory, at least. V(16GiB), or a number of MiB.
        type: str
      min_disk:
        description: The largest disk, at least. V(100GiB), or a number of MiB.
        type: str
      arch:
        description: Architecture, for example V(amd64).
        type: str
      tags:
        description: Tags that it must have, all of them.
        type: list
        elements: str
      not_tags:
        description: Tags of which it must have none.
        type: list
        elements: str
      pool:
        description: Pool that it must be in.
        type: str
      zone:
        description: Zone that it must be in.
        type: str
      hardware:
        description: Condition over its hardware, as rules have it. V(nic.vendor ~ Mellanox and not disk.rotational).
        type: str
seealso:
  - module: metalwright.fleet.machine
"""

EXAMPLES = r"""
- name: Claim four machines with much memory
  metalwright.fleet.allocation:
    name: hadoop
    count: 4
    constraints:
      min_memory: 64GiB
      tags: [ssd]
  register: hadoop

- name: Deploy them
  metalwright.fleet.machine:
    name: "{{ item }}"
    state: deployed
    image: debian/12
  loop: "{{ hadoop.allocation.machines }}"

- name: Wipe them, when they have done their work
  metalwright.fleet.machine:
    name: "{{ item }}"
    state: ready
  loop: "{{ hadoop.allocation.machines }}"

- name: Give them back
  metalwright.fleet.allocation:
    name: hadoop
    state: absent
"""

RETURN = r"""
allocation:
  description: The allocation as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    name: hadoop
    count: 4
    constraints:
      min_memory: 64GiB
    machines: [node1, node2, node3, node4]
added:
  description: Names of the machines that were, or would be, added now.
  returned: success
  type: list
  elements: str
  sample: [node1]
removed:
  description: Names of the machines that were, or would be, given back now.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._allocation import FIELDS, ensure
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **FIELDS,
}


def main():
    """Run the module."""
    run(ensure, OPTIONS, required_if=[("state", "present", ["count"])])


if __name__ == "__main__":
    main()
