#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine is turned on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_power
short_description: Turn machines on and off
version_added: 0.1.0
description:
  - Turns a machine on or off, by its power driver and without asking what runs on it. Who wants a system to end in order ends it
    first, with M(ansible.builtin.command) for example.
  - The power driver is asked how the machine is, in check mode, too. Where it can not tell, what the controller did last counts.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.wait
  - metalwright.fleet.attributes
attributes:
  idempotent:
    support: partial
    details:
      - Where neither the power driver nor the controller knows how a machine is, it is told again each time.
options:
  name:
    description: Name or ID of the machine.
    type: str
    required: true
  state:
    description: How it should be.
    type: str
    choices: ["on", "off"]
    required: true
seealso:
  - module: metalwright.fleet.machine
  - module: metalwright.fleet.machine_rescue
"""

EXAMPLES = r"""
- name: Turn a machine on
  metalwright.fleet.machine_power:
    name: node1
    state: "on"

- name: Turn it off
  metalwright.fleet.machine_power:
    name: node1
    state: "off"
"""

RETURN = r"""
machine:
  description: The machine as it is now. Its keys are those that M(metalwright.fleet.machine) returns.
  returned: success
  type: dict
  sample:
    name: node1
    state: deployed

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
    - operation: power-on
      step: power call
      seconds: 1.2
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError
from ansible_collections.metalwright.fleet.plugins.module_utils._operate import Condition
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run


def stands(client, machine):
    """Return whether the machine is V(on) or V(off), V(unknown) where nobody can tell; fail where its driver has no answer."""
    told = client.ask(f"/machines/{machine['id']}/validate")
    for problem in told["problems"]:
        raise ApiError(problem["code"], f"{machine['name']}: {problem['message']}", hint=problem["hint"])
    return told["state"] if told["state"] in ("on", "off") else machine["power"]["state"]


POWER = Condition("power", stands, {"on": ("power-on", ()), "off": ("power-off", ())})


def main():
    """Run the module."""
    run(POWER.ensure, POWER.options())


if __name__ == "__main__":
    main()
