#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about subnets on which machines boot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: subnet_info
short_description: Look at subnets on which machines boot
version_added: 0.1.0
description:
  - Returns subnets on which machines boot. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one subnet. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.subnet
"""

EXAMPLES = r"""
- name: Look at all subnets
  metalwright.fleet.subnet_info:
    fields: [name, cidr]
  register: networks
"""

RETURN = r"""
subnets:
  description: The subnets on which machines boot. The keys of one are those that M(metalwright.fleet.subnet) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: provisioning
      cidr: 10.0.0.0/24
      gateway: 10.0.0.1
      dhcp: true
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

SUBNETS = Listing("subnets", "/subnets")


def main():
    """Run the module."""
    SUBNETS.run()


if __name__ == "__main__":
    main()
