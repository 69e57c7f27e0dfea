#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about options of DHCP."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dhcp_option_info
short_description: Look at what else DHCP tells
version_added: 0.1.0
description:
  - Returns options of DHCP that somebody has declared. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  subnet:
    description: Options of these subnets only.
    type: list
    elements: str
  machine:
    description: Options of these machines only.
    type: list
    elements: str
  reservation:
    description: Options of these reservations only, by their addresses.
    type: list
    elements: str
seealso:
  - module: metalwright.fleet.dhcp_option
"""

EXAMPLES = r"""
- name: Look at what the clients of a subnet are told
  metalwright.fleet.dhcp_option_info:
    subnet: [provisioning]
  register: told
"""

RETURN = r"""
options:
  description: The options. The keys of one are those that M(metalwright.fleet.dhcp_option) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - subnet: provisioning
      family: 4
      code: 7
      name: log-servers
      value: 10.0.0.4
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing

TOLD = Listing("options", "/dhcp-options", filters={"subnet": MANY, "machine": MANY, "reservation": MANY}, key=None)


def main():
    """Run the module."""
    TOLD.run()


if __name__ == "__main__":
    main()
