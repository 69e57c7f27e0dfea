#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about the network interfaces of a machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_interface_info
short_description: Look at the network interfaces of a machine
version_added: 0.1.0
description:
  - Returns the interfaces that are declared for a machine, and the addresses it has. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes.info
options:
  machine:
    description: Name of the machine.
    type: str
    required: true
seealso:
  - module: metalwright.fleet.machine_interface
"""

EXAMPLES = r"""
- name: Look at the network of a machine
  metalwright.fleet.machine_interface_info:
    machine: node1
  register: node1

- name: Show the addresses of its storage VLAN
  ansible.builtin.debug:
    msg: "{{ node1.network.addresses | selectattr('interface', 'eq', 'bond0.42') | map(attribute='address') }}"
"""

RETURN = r"""
network:
  description:
    - The network of the machine; V(null) if there is no such machine.
    - RV(network.interfaces) are as they were declared, none if nothing was. RV(network.pending) says that what runs was deployed
      with others, and RV(network.problem) why the declaration does not hold any more, if a card or a subnet has gone.
  returned: success
  type: dict
  contains:
    interfaces:
      description: The interfaces, as M(metalwright.fleet.machine_interface) takes them.
      type: list
      elements: dict
    addresses:
      description: The addresses, with the interface and the subnet each is of, and whether the name of the machine leads there.
      type: list
      elements: dict
    pending:
      description: Whether it takes effect with the next deployment only.
      type: bool
    problem:
      description: Why a deployment would be refused.
      type: dict
  sample:
    machine: node1
    interfaces: []
    addresses:
      - interface: enp1s0
        subnet: provisioning
        address: 10.0.0.10
        main: true
    pending: false
    problem:
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._client import segment
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

OPTIONS = {"machine": {"type": "str", "required": True}}


def look(module, client):
    """Return the network of the machine."""
    return {"network": client.find(f"/machines/{segment(module.params['machine'])}/network")}


def main():
    """Run the module."""
    run(look, OPTIONS)


if __name__ == "__main__":
    main()
