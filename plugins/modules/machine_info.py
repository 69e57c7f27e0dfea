#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about machines."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_info
short_description: Look at machines
version_added: 0.1.0
description:
  - Returns machines with all that the controller knows of them. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description:
      - Name or ID of one machine. Where there is none, the list that is returned is empty.
    type: str
  state:
    description: Only machines in one of these states, for example V(ready).
    type: list
    elements: str
  pool:
    description: Only machines of these pools.
    type: list
    elements: str
  zone:
    description: Only machines of these zones.
    type: list
    elements: str
  tags:
    description: Only machines that have all of these tags.
    type: list
    elements: str
  allocation:
    description: Only machines of these allocations.
    type: list
    elements: str
seealso:
  - module: metalwright.fleet.machine
  - plugin: metalwright.fleet.machines
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Look at one machine
  metalwright.fleet.machine_info:
    name: node1
  register: node1

- name: Show how much memory it has
  ansible.builtin.debug:
    msg: "{{ node1.machines[0].memory_mib }} MiB"

- name: Find machines that failed
  metalwright.fleet.machine_info:
    state: failed
  register: failed

- name: Show why, and what to do
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.failure.message }} {{ item.failure.hint }}"
  loop: "{{ failed.machines }}"
  loop_control:
    label: "{{ item.name }}"

- name: Find machines with fast disks that nobody uses
  metalwright.fleet.machine_info:
    state: ready
    tags: [nvme]
  register: free
"""

RETURN = r"""
machines:
  description:
    - The machines. The keys of one are those that M(metalwright.fleet.machine) returns.
  returned: success
  type: list
  elements: dict
  contains:
    state:
      description: Where it stands, for example V(ready), V(deployed), V(rescue), V(broken) or V(failed).
      type: str
    failed_from:
      description: What it failed at, for example V(deploying). V(null) unless it is V(failed).
      type: str
    failure:
      description:
        - Why it failed, and what to do. V(null) if it has not.
        - The keys are C(code), C(message), C(phase), C(last_seen), C(log_tail), C(hint) and C(docs).
      type: dict
    former_state:
      description: Where it goes back to when it leaves rescue or is marked fixed. V(null) else.
      type: str
    note:
      description: Why it was marked broken.
      type: str
    test_status:
      description: How its last tests ended, V(passed), V(failed) or V(overridden). V(null) if it was never tested.
      type: str
    deployed:
      description:
        - What it was deployed with. V(null) if it was not.
        - The keys are C(image), C(content_sha256), C(hostname), C(address), C(at), C(options), and C(adopted), which is V(true) for
          a machine that was taken over with the system it ran.
      type: dict
    rescue:
      description: Where it lets people in. V(null) unless it is in rescue. The keys are C(address), C(host_keys) and C(since).
      type: dict
    power:
      description:
        - The keys are C(driver), C(parameters), C(state), C(checked_at), and C(failure), which says why its power driver could not
          be asked the last time.
      type: dict
  sample:
    - name: node1
      state: ready
      failed_from: null
      failure: null
      former_state: null
      note: ""
      test_status: passed
      firmware: uefi
      pool: default
      zone: default
      tags: [nvme]
      cpu_count: 16
      memory_mib: 65536
      disk_gib: 894
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing

FILTERS = dict.fromkeys(("state", "pool", "zone", "tags", "allocation"), MANY)

MACHINES = Listing("machines", "/machines", FILTERS, query={"tags": "tag"})


def main():
    """Run the module."""
    MACHINES.run()


if __name__ == "__main__":
    main()
