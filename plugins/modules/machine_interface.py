#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network interfaces of a machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_interface
short_description: Declare the network interfaces of machines
version_added: 0.1.0
description:
  - Declares all interfaces of one machine, with their addresses and routes, as one list. What is not in the list is not configured.
  - They are one list because they hold each other. Whether a bond has its cards and a VLAN its parent is checked before anything is
    changed, in check mode too.
  - The declaration is what the machine is deployed with. One that is deployed already keeps what it runs with until it is deployed
    again, and M(metalwright.fleet.machine) then finds that it is not as wished.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  machine:
    description: Name of the machine.
    type: str
    required: true
  state:
    description:
      - Whether interfaces are to be declared.
      - Without a declaration a machine has the interface it boots from, with an address of its subnet.
    type: str
    choices: [present, absent]
    default: present
  interfaces:
    description:
      - All interfaces, the most important first. The name of the machine leads to the first address of what stands on the card it
        boots from, else to the first address there is.
      - Cards that are only members or parents need not be listed.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the interface, of 1 to 15 characters.
          - Of a network card it is the one that the inventory of the machine tells, or any name if O(interfaces[].mac) says which card.
        type: str
        required: true
      type:
        description: What it is.
        type: str
        choices: [physical, bond, vlan, bridge]
        required: true
      mac:
        description: MAC address of the network card. Of V(physical) only.
        type: str
      members:
        description: Names of the interfaces that it is made of. Of V(bond) and V(bridge).
        type: list
        elements: str
      mode:
        description: How a bond uses its members. Of V(bond) only; the default is V(active-backup).
        type: str
        choices: [balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb]
      mii_monitor_interval:
        description: Milliseconds between two looks at the links of the members. Of V(bond) only; the default is V(100).
        type: int
      lacp_rate:
        description: How often the link aggregation protocol is spoken. Of bonds of mode V(802.3ad) only.
        type: str
        choices: [slow, fast]
      transmit_hash_policy:
        description: What the choice of a member goes by. Of bonds of mode V(balance-xor), V(802.3ad) and V(balance-tlb) only.
        type: str
        choices: [layer2, layer3+4, layer2+3, encap2+3, encap3+4]
      primary:
        description: The member that is preferred. Of bonds of mode V(active-backup), V(balance-tlb) and V(balance-alb) only.
        type: str
      parent:
        description: Name of the interface that carries a VLAN. Of V(vlan) only.
        type: str
      vid:
        description: Number of the VLAN. Of V(vlan) only, where O(interfaces[].vlan) is not given.
        type: int
      vlan:
        description: Name of the VLAN as the controller knows it. Of V(vlan) only, where O(interfaces[].vid) is not given.
        type: str
      stp:
        description: Whether the bridge speaks the spanning tree protocol. Of V(bridge) only; the default is V(false).
        type: bool
      forward_delay:
        description: Seconds that a bridge with O(interfaces[].stp) listens, and learns, before it forwards.
        type: int
      mtu:
        description: Bytes that it carries at once; no more than what it stands on.
        type: int
      links:
        description: How it comes to its addresses. Without any it is up and has none.
        type: list
        elements: dict
        suboptions:
          mode:
            description:
              - V(auto) gives an address of the subnet's static ranges, which the machine keeps; V(static) is
                O(interfaces[].links[].address); V(dhcp) is what DHCP gives; V(link) is no address.
            type: str
            choices: [auto, static, dhcp, link]
            required: true
          subnet:
            description:
              - Name of the subnet.
              - By default the one that the address lies in and, for V(auto), the one that the machine boots on.
            type: str
          address:
            description: The address. Of V(static) only.
            type: str
      routes:
        description: Routes beside the one to the gateway of the first subnet.
        type: list
        elements: dict
        suboptions:
          to:
            description: V(default), or a network such as V(10.0.0.0/8).
            type: str
            required: true
          via:
            description: Address of the router, which an address of this interface reaches.
            type: str
            required: true
          metric:
            description: Of several routes to one network, the one with the smallest metric is taken.
            type: int
seealso:
  - module: metalwright.fleet.machine_interface_info
  - module: metalwright.fleet.machine
"""

EXAMPLES = r"""
- name: Two cards as one, with a tagged VLAN for storage and a bridge for virtual machines
  metalwright.fleet.machine_interface:
    machine: node1
    interfaces:
      - name: bond0
        type: bond
        members: [enp1s0, enp2s0]
        mode: 802.3ad
        transmit_hash_policy: layer3+4
        mtu: 9000
      - name: br0
        type: bridge
        members: [bond0]
        mtu: 1500
        links:
          - mode: auto
      - name: bond0.42
        type: vlan
        parent: bond0
        vlan: storage
        links:
          - mode: static
            address: 10.42.0.7
        routes:
          - to: 10.43.0.0/16
            via: 10.42.0.1

- name: Back to one interface
  metalwright.fleet.machine_interface:
    machine: node1
    state: absent
"""

RETURN = r"""
network:
  description:
    - The network of the machine as it is declared now, or would be in check mode. Its keys are those that
      M(metalwright.fleet.machine_interface_info) returns.
    - V(null) in check mode for a machine that is still to be made.
  returned: success
  type: dict
  sample:
    machine: node1
    interfaces:
      - name: bond0
        type: bond
        members: [enp1s0, enp2s0]
        links:
          - mode: auto
    addresses:
      - interface: bond0
        subnet: provisioning
        address: 10.0.0.10
        main: true
    pending: false
    problem:
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._client import segment
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run, stated

INTERFACE = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["physical", "bond", "vlan", "bridge"], "required": True},
    "mac": {"type": "str"},
    "members": {"type": "list", "elements": "str"},
    "mode": {
        "type": "str",
        "choices": ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"],
    },
    "mii_monitor_interval": {"type": "int"},
    "lacp_rate": {"type": "str", "choices": ["slow", "fast"]},
    "transmit_hash_policy": {"type": "str", "choices": ["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"]},
    "primary": {"type": "str"},
    "parent": {"type": "str"},
    "vid": {"type": "int"},
    "vlan": {"type": "str"},
    "stp": {"type": "bool"},
    "forward_delay": {"type": "int"},
    "mtu": {"type": "int"},
    "links": {
        "type": "list",
        "elements": "dict",
        "options": {
            "mode": {"type": "str", "choices": ["auto", "static", "dhcp", "link"], "required": True},
            "subnet": {"type": "str"},
            "address": {"type": "str"},
        },
    },
    "routes": {
        "type": "list",
        "elements": "dict",
        "options": {
            "to": {"type": "str", "required": True},
            "via": {"type": "str", "required": True},
            "metric": {"type": "int"},
        },
    },
}

OPTIONS = {
    "machine": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "interfaces": {"type": "list", "elements": "dict", "options": INTERFACE},
}


def ensure(module, client):
    """Declare the whole list; the controller says whether that is a change."""
    path = f"/machines/{segment(module.params['machine'])}/network"
    wished = stated(module.params["interfaces"]) if module.params["state"] == "present" else []
    before = client.find(path)
    if before is None and client.dry_run:  # the task before this one would have made the machine
        return {"changed": bool(wished), "network": None, "diff": {"before": {}, "after": {"interfaces": wished}}}
    after = client.write("PUT", path, {"interfaces": wished})
    changed = after.pop("changed")
    return {"changed": changed, "network": after, "diff": {"before": shown(before), "after": shown(after)}}


def shown(network):
    """Return what a person compares."""
    return {name: network[name] for name in ("interfaces", "addresses")} if network else {}


def main():
    """Run the module."""
    run(ensure, OPTIONS, required_if=[("state", "present", ["interfaces"])])


if __name__ == "__main__":
    main()
