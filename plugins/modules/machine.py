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
  - A machine that has failed is led on from where its failure left it. One in rescue leaves that first. One that was marked broken,
    or is locked, is refused, and the message says why it was marked and how to go on.
  - A machine that was adopted with the system it runs is not wiped, unless O(wipe_adopted) says so.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.power
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
      - V(deployed), it runs the O(image), and cloud-init has finished without a fault.
      - V(absent), the controller does not know it.
      - A machine that the controller does not know is enlisted first, for which O(macs) is needed. One of these addresses may
        belong to a machine that has announced itself and that nobody has touched yet; that one gets the O(name) then.
    type: str
    choices: [present, ready, deployed, absent]
    default: present
  macs:
    description:
      - MAC addresses of its network interfaces, the one it boots from first.
      - Interfaces that were found when it was commissioned need not be named.
    type: list
    elements: str
  arch:
    description: Architecture, for example V(amd64).
    type: str
  firmware:
    description: Its firmware. Found out when it is commissioned.
    type: str
    choices: [bios, uefi]
  pool:
    description: Pool that it belongs to.
    type: str
  zone:
    description: Zone that it stands in.
    type: str
  tags:
    description: Its tags, all of them.
    type: list
    elements: str
  description:
    description: Free text.
    type: str
  image:
    description: Name of the image to deploy. Needed with O(state=deployed).
    type: str
  hostname:
    description: Name under which it is deployed, and known to DNS. Its O(name) if not given.
    type: str
  ssh_keys:
    description: Public keys that may log in as the image's default user.
    type: list
    elements: str
  user_data:
    description:
      - User-data for cloud-init. It reaches the machine byte for byte, and where it speaks of the same thing as an option here, it
        wins. It is checked before anything is powered.
    type: str
  user_data_file:
    description: File with the user-data, on the host on which the module runs. That is usually the control node.
    type: path
  manage_etc_hosts:
    description: Whether cloud-init keeps C(/etc/hosts). See its documentation for V(localhost).
    type: str
    choices: ["true", "false", localhost]
  packages:
    description: Packages to install.
    type: list
    elements: str
  package_update:
    description: Whether to update the list of packages first.
    type: bool
  package_upgrade:
    description: Whether to upgrade what is installed.
    type: bool
  timezone:
    description: Time zone, for example V(Europe/Paris).
    type: str
  power_state:
    description:
      - What to do when cloud-init has finished, as its module C(power_state_change) describes it.
      - C(mode) is V(poweroff), V(halt) or V(reboot); C(delay) is V(now), or minutes as V(+30); C(message) is told to those who are
        logged in; C(timeout) is the seconds that cloud-init gets to finish; C(condition) is V(true), V(false), or a command whose
        success says so.
    type: dict
  address:
    description:
      - V(auto), the same free address of the subnet's static range each time.
      - V(dhcp), none of its own.
      - An address of that range.
    type: str
  disk:
    description: The disk to install to. The smallest that is large enough if not given.
    type: dict
    suboptions:
      name:
        description: Kernel name, for example V(sda).
        type: str
      serial:
        description: Serial number.
        type: str
      wwn:
        description: World wide name.
        type: str
      model:
        description: Model.
        type: str
      min_size_gib:
        description: Size in GiB, at least.
        type: int
      rotational:
        description: Whether it is a disk that turns.
        type: bool
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
      - Used with O(state=ready) only. A machine that is V(ready) already is not erased again.
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

- name: Wipe it and turn it off
  metalwright.fleet.machine:
    name: node1
    state: ready

- name: Return a machine with every block of its disks overwritten
  metalwright.fleet.machine:
    name: node2
    state: ready
    erase: full

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
    former_state: null
    note: ""
    test_status: passed
    locked: false
    arch: amd64
    firmware: uefi
    pool: default
    zone: default
    tags: [ssd]
    description: ""
    power:
      driver: ipmi
      state: "on"
      checked_at: "2026-11-21T12:00:00+00:00"
      failure: null
      parameters:
        address: 10.0.1.11
        port: 623
        username: admin
        password: "********"
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
error:
  description: Why the task failed. The message says the same for people.
  returned: failure
  type: dict
  sample:
    code: disk_too_small
    message: "node1: deploy failed in phase install: /dev/sda has 8 GiB, the image needs 10 GiB."
    status: 0
    hint: Name another disk.
    details: {}
failure:
  description:
    - Why an operation did not succeed, as it is kept with the machine and the operation.
    - C(docs/reference/failures.md) explains every code.
  returned: when an operation that was waited for did not succeed
  type: dict
  contains:
    code:
      description: For programs; it does not change.
      type: str
    message:
      description: What happened to which machine.
      type: str
    phase:
      description: The step of the operation.
      type: str
    last_seen:
      description: The last sign of the machine, with its time.
      type: str
    hint:
      description: What usually causes it, and what to do.
      type: str
    log_tail:
      description: The end of what the agent or the first boot printed.
      type: str
    docs:
      description: Where the code is explained.
      type: str
  sample:
    code: disk_too_small
    message: "node1: write: /dev/sda has 8 GiB, the image needs 10 GiB"
    phase: install
    last_seen: "2026-11-21T12:00:00+00:00 node1: write started"
    hint: Choose a smaller image, another disk or another machine.
    log_tail: ""
    docs: docs/reference/failures.md#disk_too_small
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._machine import DEPLOY, DESCRIPTION, ensure
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import WAITING

OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "ready", "deployed", "absent"], "default": "present"},
    **DESCRIPTION,
    **DEPLOY,
    "user_data_file": {"type": "path"},
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
        required_if=[("state", "deployed", ["image"])],
        mutually_exclusive=[("user_data", "user_data_file")],
    )


if __name__ == "__main__":
    main()
