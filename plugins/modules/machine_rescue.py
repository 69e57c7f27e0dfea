#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine is in rescue."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_rescue
short_description: Take machines into rescue and out of it
version_added: 0.1.0
description:
  - A machine in rescue runs the agent in its memory, leaves its disks alone, and lets people in by SSH as C(root).
  - Out of rescue it is what it was before. A deployed machine boots its disk.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.wait
  - metalwright.fleet.attributes
options:
  name:
    description: Name or ID of the machine.
    type: str
    required: true
  state:
    description:
      - V(rescue), it is in rescue.
      - V(normal), it is not.
    type: str
    choices: [rescue, normal]
    default: rescue
  ssh_keys:
    description:
      - Public keys that may log in. Needed with O(state=rescue).
      - A machine that is in rescue already stays as it is, with the keys that it was taken there with.
    type: list
    elements: str
seealso:
  - module: metalwright.fleet.machine
  - module: metalwright.fleet.machine_power
"""

EXAMPLES = r"""
- name: Take a machine into rescue
  metalwright.fleet.machine_rescue:
    name: node1
    ssh_keys:
      - "{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"
  register: inside

- name: Show where it lets people in, and by which keys it is known there
  ansible.builtin.debug:
    var: inside.machine.rescue

- name: Have it back
  metalwright.fleet.machine_rescue:
    name: node1
    state: normal
"""

RETURN = r"""
machine:
  description: The machine as it is now. Its keys are those that M(metalwright.fleet.machine) returns.
  returned: success
  type: dict
  sample:
    name: node1
    state: rescue
    rescue:
      address: 10.0.0.10
      host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGYvaXhIbGhCZ0l2aVh6Y2h6b0p4bG1pZ2Vs]
      since: "2026-11-21T12:00:00+00:00"

operation:
  description:
    - The operation that was started, when it has ended if that was waited for; V(null) when none was needed.
    - Its keys are those that M(metalwright.fleet.operation_info) returns.
  returned: success
  type: dict
timeline:
  description: Where the time of what was waited for went. Each has the keys C(operation), C(step) and C(seconds).
  returned: always, unless nothing was started
  type: list
  elements: dict
  sample:
    - operation: rescue
      step: power call
      seconds: 1.2
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._operate import Condition
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run


def stands(_client, machine):
    """Return whether the machine is in V(rescue), or V(normal), or neither, on the way into it or out of it."""
    return machine["state"] if machine["state"] in ("rescue", "rescuing") else "normal"


RESCUE = Condition(
    "rescue",
    stands,
    {"rescue": ("rescue", ("ssh_keys",)), "normal": ("exit-rescue", ())},
    default="rescue",
    options={"ssh_keys": {"type": "list", "elements": "str", "no_log": False}},
)


def main():
    """Run the module."""
    run(RESCUE.ensure, RESCUE.options(), required_if=[("state", "rescue", ["ssh_keys"])])


if __name__ == "__main__":
    main()
