#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about power drivers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: power_driver_info
short_description: Look at the power drivers that there are
version_added: 0.1.0
description:
  - Returns the power drivers of the controller, with the parameters that each needs to know. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
seealso:
  - module: metalwright.fleet.machine
  - module: metalwright.fleet.chassis
"""

EXAMPLES = r"""
- name: Look at all drivers
  metalwright.fleet.power_driver_info:
  register: power

- name: Show which find machines by themselves
  ansible.builtin.debug:
    msg: "{{ power.power_drivers | selectattr('probes') | map(attribute='name') }}"
"""

RETURN = r"""
power_drivers:
  description: The drivers. C(answers) says whether they know how a machine is, C(probes) whether they find machines.
  returned: success
  type: list
  elements: dict
  sample:
    - name: wol
      description: Wake-on-LAN.
      answers: false
      probes: false
      parameters:
        - name: mac
          type: string
          required: true
          secret: false
          default: null
          choices: []
          description: MAC address of the interface that wakes the machine.
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

DRIVERS = Listing("power_drivers", "/power/drivers", key=None)


def main():
    """Run the module."""
    DRIVERS.run()


if __name__ == "__main__":
    main()
