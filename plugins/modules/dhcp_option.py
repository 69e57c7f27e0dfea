#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An option of DHCP."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dhcp_option
short_description: Manage what else DHCP tells
version_added: 0.1.0
description:
  - DHCP tells the gateway, the name servers, the time servers and the domains of a subnet, and the MTU of its VLAN. Anything else is
    an option, for all clients of a subnet, for one machine, or for the card of one reservation.
  - An option is known by whose it is and by its number or name.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  option:
    description: Number of the option, or its name, for example V(log-servers) or V(150).
    type: str
    required: true
  subnet:
    description: Name of the subnet whose clients get it.
    type: str
  machine:
    description: Name of the machine that gets it.
    type: str
  reservation:
    description: Address of the reservation whose card gets it.
    type: str
  family:
    description:
      - V(4) for DHCPv4, V(6) for DHCPv6.
      - A subnet and a reservation have one of them, so it can be left out there. For a machine the default is V(4).
    type: int
    choices: [4, 6]
  state:
    description: Whether there is to be such an option.
    type: str
    choices: [present, absent]
    default: present
  value:
    description: The value, in the form of the option's type; lists may be lists. Needed unless O(state=absent).
    type: raw
seealso:
  - module: metalwright.fleet.dhcp_option_info
  - module: metalwright.fleet.subnet
  - module: metalwright.fleet.ip_reservation
"""

EXAMPLES = r"""
- name: Tell all clients of a subnet where logs go
  metalwright.fleet.dhcp_option:
    subnet: provisioning
    option: log-servers
    value: [10.0.0.4]

- name: Tell one machine something that has no name here
  metalwright.fleet.dhcp_option:
    machine: node1
    option: 224
    value: 0a:00:00:04

- name: Tell them nothing of logs any more
  metalwright.fleet.dhcp_option:
    subnet: provisioning
    option: log-servers
    state: absent
"""

RETURN = r"""
option:
  description: The option as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    id: 0c6e2a9f3b1d4857
    subnet: provisioning
    machine:
    reservation:
    family: 4
    code: 7
    name: log-servers
    value: 10.0.0.4
    created_at: "2026-11-29T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._address import canonical
from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

OWNERS = ("subnet", "machine", "reservation")
OPTIONS = {
    "option": {"type": "str", "required": True},
    **{owner: {"type": "str"} for owner in OWNERS},
    "family": {"type": "int", "choices": [4, 6]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "value": {"type": "raw"},
}
NO_OWNER = [f"{owner}_not_found" for owner in OWNERS]


def ensure(module, client):
    """Have the option as wished, or none; the controller says whether that is a change."""
    params = module.params
    owner = next(owner for owner in OWNERS if params[owner] is not None)
    named = canonical(params[owner]) if owner == "reservation" else params[owner]
    before = find(client, owner, named, params)
    changed, after = before is not None, None
    if params["state"] == "absent":
        if before is not None:
            client.write("DELETE", f"/dhcp-options/{before['id']}")
    elif before is not None:
        after = client.write("PATCH", f"/dhcp-options/{before['id']}", {"value": params["value"]})
        changed = after.pop("changed")
    else:
        wished = {owner: named, "option": params["option"], "value": params["value"]}
        if params["family"] is not None:
            wished["family"] = params["family"]
        changed = True
        try:
            after = client.write("POST", "/dhcp-options", wished)
        except ApiError as error:
            if error.code not in NO_OWNER or not client.dry_run:
                raise
            module.warn(f"{error.message} As long as that is so, option {params['option']} can not be checked further.")
            return {"changed": True, "option": None, "diff": {"before": {}, "after": wished}}
    return {"changed": changed, "option": after, "diff": {"before": shown(before, owner), "after": shown(after, owner)}}


def find(client, owner, named, params):
    """Return the option of that number or name; of a machine it may be there for both families."""
    family = params["family"] or (4 if owner == "machine" else None)
    wished = params["option"].strip().lower()
    wished = int(wished) if wished.isdigit() else wished
    for option in client.items("/dhcp-options", **{owner: named}):
        if wished in (option["code"], option["name"]) and family in (option["family"], None):
            return option
    return None


def shown(option, owner):
    """Return what a person compares."""
    return {name: option[name] for name in (owner, "family", "code", "name", "value")} if option else {}


def main():
    """Run the module."""
    run(
        ensure,
        OPTIONS,
        required_if=[("state", "present", ["value"])],
        required_one_of=[OWNERS],
        mutually_exclusive=[OWNERS],
    )


if __name__ == "__main__":
    main()
