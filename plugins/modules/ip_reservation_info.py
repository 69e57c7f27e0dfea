#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about reservations."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_reservation_info
short_description: Look at addresses that are kept for network cards
version_added: 0.1.0
description:
  - Returns reservations. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  address:
    description: Address of one reservation. Where there is none, the list that is returned is empty.
    type: str
  subnet:
    description: Reservations on these subnets only.
    type: list
    elements: str
  mac:
    description: Reservations for these MAC addresses only.
    type: list
    elements: str
seealso:
  - module: metalwright.fleet.ip_reservation
  - module: metalwright.fleet.ip_address_info
"""

EXAMPLES = r"""
- name: Look at what is kept on a subnet
  metalwright.fleet.ip_reservation_info:
    subnet: [provisioning]
  register: kept
"""

RETURN = r"""
reservations:
  description: The reservations. The keys of one are those that M(metalwright.fleet.ip_reservation) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - subnet: provisioning
      mac: 52:54:00:aa:00:01
      address: 10.0.0.5
      name: printer
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing

RESERVATIONS = Listing("reservations", "/reservations", filters={"subnet": MANY, "mac": MANY}, key="address")


def main():
    """Run the module."""
    RESERVATIONS.run()


if __name__ == "__main__":
    main()
