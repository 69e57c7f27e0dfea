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
    description: Address of the router. Machines of a subnet without one have no route out. An empty string takes it away.
    type: str
  dns_servers:
    description: Addresses of the resolvers that machines use.
    type: list
    elements: str
  domain:
    description: Domain of the machines' names, which is made if it is not there. An empty string, the default one.
    type: str
  dhcp:
    description: Whether the controller answers DHCP on this subnet.
    type: bool
  enlist:
    description:
      - Whether a machine that nobody has declared, and that boots on this subnet, is taken in as a new machine.
    type: bool
  ntp_servers:
    description: Addresses of the time servers that machines use.
    type: list
    elements: str
  search:
    description: Domains in which machines look for short names.
    type: list
    elements: str
  relays:
    description: Addresses of DHCP relay agents that speak for the subnet without having an address in it.
    type: list
    elements: str
  vlan:
    description: Name of the VLAN that the subnet is on. An empty string takes it off.
    type: str
  ranges:
    description:
      - What the addresses are for.
      - These are all of its ranges; others that the subnet has are given up. Leave it out to leave them alone.
    type: list
    elements: dict
    suboptions:
      kind:
        description:
          - DHCP gives V(dynamic) addresses to anyone, so machines that have no address of their own boot with them.
          - Deployed machines get V(static) ones, one each, and keep them.
          - Nobody gets V(reserved) ones by itself.
        type: str
        choices: [dynamic, static, reserved]
        required: true
      start:
        description: First address.
        type: str
        required: true
      end:
        description: Last address.
        type: str
        required: true
      comment:
        description: What it is for, in words.
        type: str
        default: ""
seealso:
  - module: metalwright.fleet.subnet_info
  - module: metalwright.fleet.ip_range
  - module: metalwright.fleet.vlan
"""

EXAMPLES = r"""
- name: Let machines boot on the provisioning network
  metalwright.fleet.subnet:
    name: provisioning
    cidr: 10.0.0.0/24
    gateway: 10.0.0.1
    dns_servers: [10.0.0.1]
    domain: metal.example.com
    ranges:
      - {kind: static, start: 10.0.0.10, end: 10.0.0.89}
      - {kind: dynamic, start: 10.0.0.100, end: 10.0.0.149}

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
    ntp_servers: []
    search: []
    relays: []
    vlan: null
    ranges:
      - {kind: static, start: 10.0.0.10, end: 10.0.0.89, comment: ""}
      - {kind: dynamic, start: 10.0.0.100, end: 10.0.0.149, comment: ""}
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
    "ntp_servers": {"type": "list", "elements": "str"},
    "search": {"type": "list", "elements": "str"},
    "relays": {"type": "list", "elements": "str"},
    "vlan": {"type": "str"},
    "ranges": {
        "type": "list",
        "elements": "dict",
        "options": {
            "kind": {"type": "str", "choices": ["dynamic", "static", "reserved"], "required": True},
            "start": {"type": "str", "required": True},
            "end": {"type": "str", "required": True},
            "comment": {"type": "str", "default": ""},
        },
    },
}


def same_ranges(there, wished):
    """Tell whether the ranges are those, in whatever order they were written."""
    return sorted(there, key=_start) == sorted(wished, key=_start)


def _start(each):
    return each["start"]


SUBNET = Resource(
    "subnet",
    "/subnets",
    FIELDS,
    satisfied={"ranges": same_ranges},
    needed=("cidr",),
    nothing={"gateway": "", "domain": "", "vlan": ""},
    awaits=("vlan_not_found",),
)


def main():
    """Run the module."""
    run(SUBNET.manage, SUBNET.options())


if __name__ == "__main__":
    main()
