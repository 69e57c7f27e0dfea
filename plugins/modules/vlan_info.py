#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about VLANs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vlan_info
short_description: Look at VLANs
version_added: 0.1.0
description:
  - Returns VLANs. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one VLAN. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.vlan
"""

EXAMPLES = r"""
- name: Look at all VLANs
  metalwright.fleet.vlan_info:
    fields: [name, vid, subnets]
  register: networks
"""

RETURN = r"""
vlans:
  description: The VLANs. The keys of one are those that M(metalwright.fleet.vlan) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: storage
      vid: 42
      subnets: [storage]
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

VLANS = Listing("vlans", "/vlans")


def main():
    """Run the module."""
    VLANS.run()


if __name__ == "__main__":
    main()
