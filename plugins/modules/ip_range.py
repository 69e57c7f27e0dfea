#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A range of a subnet's addresses."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_range
short_description: Manage ranges of addresses, one at a time
version_added: 0.1.0
description:
  - A range says what some addresses of a subnet are for. It is known by its first address, which no other range has.
  - This is for ranges that several playbooks look after. The option O(metalwright.fleet.subnet#module:ranges) of
    M(metalwright.fleet.subnet) declares all ranges of a subnet, and gives up those that it does not name; use one or the other.
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  start:
    description: First address.
    type: str
    required: true
  state:
    description:
      - Whether the range is to be there.
      - A range from which somebody has an address is neither removed nor made so small that the address lies outside.
    type: str
    choices: [present, absent]
    default: present
  subnet:
    description: Name of its subnet. Needed to create the range; it stays on it.
    type: str
  kind:
    description:
      - DHCP gives V(dynamic) addresses to anyone, so machines that have no address of their own boot with them.
      - Deployed machines get V(static) ones, one each, and keep them.
      - Nobody gets V(reserved) ones by itself.
      - Needed to create the range.
    type: str
    choices: [dynamic, static, reserved]
  end:
    description: Last address. Needed to create the range.
    type: str
  comment:
    description: What it is for, in words.
    type: str
seealso:
  - module: metalwright.fleet.ip_range_info
  - module: metalwright.fleet.subnet
"""

EXAMPLES = r"""
- name: Keep addresses for routers
  metalwright.fleet.ip_range:
    subnet: provisioning
    kind: reserved
    start: 10.0.0.250
    end: 10.0.0.254
    comment: routers

- name: Give them up
  metalwright.fleet.ip_range:
    start: 10.0.0.250
    state: absent
"""

RETURN = r"""
range:
  description: The range as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    id: 0c6e2a9f3b1d4857
    subnet: provisioning
    kind: reserved
    start: 10.0.0.250
    end: 10.0.0.254
    comment: routers
    created_at: "2026-11-29T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._address import canonical
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run

FIELDS = {
    "subnet": {"type": "str"},
    "kind": {"type": "str", "choices": ["dynamic", "static", "reserved"]},
    "end": {"type": "str"},
    "comment": {"type": "str"},
}

RANGE = Resource(
    "range",
    "/ranges",
    FIELDS,
    key="start",
    needed=("subnet", "kind", "end"),
    fixed=("subnet",),
    awaits=("subnet_not_found",),
)


def ensure(module, client):
    """Have the range that begins there as wished, or none."""
    module.params["start"] = canonical(module.params["start"])
    return RANGE.manage(module, client)


def main():
    """Run the module."""
    run(ensure, RANGE.options())


if __name__ == "__main__":
    main()
