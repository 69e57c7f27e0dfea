#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine, from bare metal to Ansible host and back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine
short_description: Manage machines, from bare metal to Ansible host and back
version_added: 0.1.0
description:
  - Say what a machine should be. The controller plans the operations that lead there from where it is, and carries them out.
  - The plan is shown by check mode with C(--diff). Nothing is powered, and no disk is touched, before what you wish has been
    checked.
  - A machine that is busy is waited for first. So a play that was interrupted is simply run again.
  - One that has failed is led on from where its failure left it, one in rescue leaves that first. One that was marked broken, or
    is locked, is refused, and the message says how to go on.
  - A machine that was adopted with the system it runs is not wiped, unless O(wipe_adopted) says so.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.description
  - metalwright.fleet.power
  - metalwright.fleet.deployment
  - metalwright.fleet.playbook
  - metalwright.fleet.wait
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the machine.
    type: str
    required: true
  state:
    description:
      - V(present), the controller knows the machine.
      - V(ready), its hardware is known, it is turned off, and nobody uses it. B(A deployed machine is released, that is, wiped.)
      - V(allocated), it is V(ready), and held by the O(allocation) from the moment this is asked for. B(A deployed machine is wiped.)
      - V(deployed), it runs the O(image), and cloud-init has finished without a fault.
      - V(absent), the controller does not know it.
      - A machine that the controller does not know is enlisted first, for which O(macs) is needed. One of these addresses may
        belong to a machine that has announced itself and that nobody has touched yet; that one gets the O(name) then.
    type: str
    choices: [present, ready, allocated, deployed, absent]
    default: present
  allocation:
    description:
      - The allocation that holds the machine. Needed with O(state=allocated).
      - It is made if there is none of that name, for this machine alone. One that holds others is not touched.
    type: str
  on_drift:
    description:
      - What to do with a machine that is deployed, but not as is wished here.
      - V(fail) says what differs.
      - V(redeploy) B(wipes it) and deploys it again.
    type: str
    choices: [fail, redeploy]
    default: fail
  erase:
    description:
      - How the disks are erased if the machine has to be released. What its pool says if not given.
      - V(quick), signatures and both ends.
      - V(full), every block.
      - V(secure), the drive's own erase where it has one, else every block.
      - Used with O(state=ready) and O(state=allocated) only. A machine that is V(ready) already is not erased again.
    type: str
    choices: [quick, full, secure]
  wipe_adopted:
    description: Whether the machine may be wiped on the way although it was adopted with the system it runs.
    type: bool
    default: false
notes:
  - The options from O(image) to O(disk) are used with O(state=deployed) only.
seealso:
  - module: metalwright.fleet.machine_info
  - module: metalwright.fleet.operation_info
  - plugin: metalwright.fleet.machines
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Make a machine known
  metalwright.fleet.machine:
    name: node1
    macs: ["52:54:00:00:00:01"]
    power:
      driver: ipmi
      parameters:
        address: 10.0.1.11
        username: admin
        password: "{{ bmc_password }}"

- name: Deploy it
  metalwright.fleet.machine:
    name: node1
    state: deployed
    image: debian/12
    hostname: www
    ssh_keys:
      - "{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"
    packages: [htop, tree]
    timezone: Europe/Paris

- name: Deploy another with user-data of its own, and again whenever that changes
  metalwright.fleet.machine:
    name: node2
    state: deployed
    image: debian/12
    user_data_file: "{{ playbook_dir }}/files/database-user-data.yml"
    on_drift: redeploy

- name: Keep a machine for a purpose, commissioned and empty
  metalwright.fleet.machine:
    name: node3
    macs: ["52:54:00:00:00:03"]
    state: allocated
    allocation: database

- name: Wipe it and turn it off
  metalwright.fleet.machine:
    name: node1
    state: ready

- name: Have the controller configure a machine as soon as it is deployed
  metalwright.fleet.machine:
    name: node4
    state: deployed
    image: debian/12
    playbook: database
    playbook_vars:
      role: database
    playbook_timeout: 900

- name: Return another with every block of its disks overwritten
  metalwright.fleet.machine: {name: node2, state: ready, erase: full}

- name: Forget it
  metalwright.fleet.machine:
    name: node1
    state: absent
"""

RETURN = r"""
machine:
  description: The machine as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    id: 0c6e2a9f3b1d4857
    name: node1
    state: deployed
    failed_from: null
    failure: null
    test_status: passed
    locked: false
    arch: amd64
    firmware: uefi
    pool: default
    zone: default
    tags: [ssd]
    power:
      driver: ipmi
      state: "on"
      parameters: {address: 10.0.1.11, port: 623, username: admin, password: "********"}
    interfaces:
      - mac: "52:54:00:00:00:01"
        name: eno1
        boot: true
        address: 10.0.0.10
        subnet: provisioning
    cpu_count: 16
    memory_mib: 65536
    disk_gib: 894
    allocation: null
    deployed:
      image: debian/12
      hostname: www
      address: 10.0.0.10
      adopted: false
    host_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGYvaXhIbGhCZ0l2aVh6Y2h6b0p4bG1pZ2Vs
    rescue: null
    operation: null
plan:
  description: The operations that led, or would lead, from where it was to what was wished.
  returned: success
  type: list
  elements: dict
  sample:
    - operation: commission
    - operation: deploy
operation:
  description:
    - The operation that was started, when it has ended if that was waited for; V(null) when none was needed.
    - Its keys are those that M(metalwright.fleet.operation_info) returns.
  returned: success
  type: dict
timeline:
  description: Where the time of what was waited for went. Each has the keys C(operation), C(step) and C(seconds).
  returned: success, and when an operation that was waited for did not succeed
  type: list
  elements: dict
  sample:
    - operation: deploy
      step: "agent: write done"
      seconds: 41.3
error:
  description: Why the task failed, with the keys C(code), C(message), C(status), C(hint) and C(details). The message says the same.
  returned: failure
  type: dict
failure:
  description:
    - Why an operation did not succeed, as it is kept with the machine and the operation.
    - C(docs/reference/failures.md) explains every code.
  returned: when an operation that was waited for did not succeed
  type: dict
  sample:
    code: disk_too_small
    message: "node1: write: /dev/sda has 8 GiB, the image needs 10 GiB"
    phase: install
    last_seen: "2026-11-21T12:00:00+00:00 node1: write started"
    hint: Choose a smaller image, another disk or another machine.
    log_tail: ""
    docs: docs/reference/failures.md#disk_too_small
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._machine import DEPLOY, DESCRIPTION, PLAYBOOK, ensure
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import WAITING

OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "ready", "allocated", "deployed", "absent"], "default": "present"},
    **DESCRIPTION,
    **DEPLOY,
    **PLAYBOOK,
    "user_data_file": {"type": "path"},
    "allocation": {"type": "str"},
    "on_drift": {"type": "str", "choices": ["fail", "redeploy"], "default": "fail"},
    "erase": {"type": "str", "choices": ["quick", "full", "secure"]},
    "wipe_adopted": {"type": "bool", "default": False},
    **WAITING,
}


def main():
    """Run the module."""
    run(
        ensure,
        OPTIONS,
        required_by={"playbook_vars": ["playbook"], "playbook_timeout": ["playbook"]},
        required_if=[("state", "deployed", ["image"]), ("state", "allocated", ["allocation"])],
        mutually_exclusive=[("user_data", "user_data_file")],
    )


if __name__ == "__main__":
    main()
