#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A subnet on which machines boot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: subnet
short_description: Manage subnets on which machines boot
version_added: 0.1.0
description:
  - A subnet tells the controller which addresses it may give to machines, and what else they need to know of their network.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the subnet.
    type: str
    required: true
  state:
    description:
      - Whether the subnet is to be there.
      - A subnet whose addresses are in use is not removed.
    type: str
    choices: [present, absent]
    default: present
  cidr:
    description: The network, for example V(10.0.0.0/24). Needed to create the subnet.
    type: str
  gateway:
    description: Address of the router. Machines of a subnet without one have no route out.
    type: str
  dns_servers:
    description: Addresses of the resolvers that machines use.
    type: list
    elements: str
  domain:
    description: Domain of the machines' names.
    type: str
  dhcp:
    description: Whether the controller answers DHCP on this subnet.
    type: bool
  enlist:
    description:
      - Whether a machine that nobody has declared, and that boots on this subnet, is taken in as a new machine.
    type: bool
  dynamic_start:
    description: First address of the range for machines that have no address of their own yet.
    type: str
  dynamic_end:
    description: Last address of that range.
    type: str
  static_start:
    description: First address of the range from which deployed machines get the address that they keep.
    type: str
  static_end:
    description: Last address of that range.
    type: str
seealso:
  - module: metalwright.fleet.machine
"""

EXAMPLES = r"""
- name: Let machines boot on the provisioning network
  metalwright.fleet.subnet:
    name: provisioning
    cidr: 10.0.0.0/24
    gateway: 10.0.0.1
    dns_servers: [10.0.0.1]
    domain: metal.example.com
    dynamic_start: 10.0.0.100
    dynamic_end: 10.0.0.149
    static_start: 10.0.0.10
    static_end: 10.0.0.89

- name: Take in machines that nobody has declared
  metalwright.fleet.subnet:
    name: provisioning
    enlist: true

- name: Forget a network
  metalwright.fleet.subnet:
    name: old
    state: absent
"""

RETURN = r"""
subnet:
  description: The subnet as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    id: 0c6e2a9f3b1d4857
    name: provisioning
    cidr: 10.0.0.0/24
    gateway: 10.0.0.1
    dns_servers: [10.0.0.1]
    domain: metal.example.com
    dhcp: true
    enlist: false
    dynamic_start: 10.0.0.100
    dynamic_end: 10.0.0.149
    static_start: 10.0.0.10
    static_end: 10.0.0.89
    rack: default
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run

FIELDS = {
    "cidr": {"type": "str"},
    "gateway": {"type": "str"},
    "dns_servers": {"type": "list", "elements": "str"},
    "domain": {"type": "str"},
    "dhcp": {"type": "bool"},
    "enlist": {"type": "bool"},
    "dynamic_start": {"type": "str"},
    "dynamic_end": {"type": "str"},
    "static_start": {"type": "str"},
    "static_end": {"type": "str"},
}

SUBNET = Resource("subnet", "/subnets", FIELDS, needed=("cidr",))


def main():
    """Run the module."""
    run(SUBNET.manage, SUBNET.options())


if __name__ == "__main__":
    main()
