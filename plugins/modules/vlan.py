#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tagged network of layer 2."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vlan
short_description: Manage VLANs
version_added: 0.1.0
description:
  - A VLAN is a tagged network of layer 2, on which subnets are.
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the VLAN.
    type: str
    required: true
  state:
    description:
      - Whether the VLAN is to be there.
      - A VLAN that subnets are on is not removed.
    type: str
    choices: [present, absent]
    default: present
  vid:
    description: Its number in the tag, 1 to 4094. Needed to create the VLAN.
    type: int
  mtu:
    description: Bytes of the largest packet, which machines on it are told. V(0), nothing is said of it.
    type: int
  description:
    description: What it is for.
    type: str
seealso:
  - module: metalwright.fleet.vlan_info
  - module: metalwright.fleet.subnet
  - module: metalwright.fleet.machine_interface
"""

EXAMPLES = r"""
- name: Have a network for storage, with large packets
  metalwright.fleet.vlan:
    name: storage
    vid: 42
    mtu: 9000

- name: Forget a VLAN that nothing is on any more
  metalwright.fleet.vlan:
    name: old-storage
    state: absent
"""

RETURN = r"""
vlan:
  description: The VLAN as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    id: 0c6e2a9f3b1d4857
    name: storage
    vid: 42
    mtu: 9000
    description: ""
    rack: default
    subnets: [storage]
    created_at: "2026-11-29T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run

FIELDS = {"vid": {"type": "int"}, "mtu": {"type": "int"}, "description": {"type": "str"}}

VLAN = Resource("vlan", "/vlans", FIELDS, needed=("vid",), nothing={"mtu": 0})


def main():
    """Run the module."""
    run(VLAN.manage, VLAN.options())


if __name__ == "__main__":
    main()
