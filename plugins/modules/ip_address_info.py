#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about who has which address."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_address_info
short_description: Look at who has which address
version_added: 0.1.0
description:
  - Returns addresses that somebody has, from the controller or from DHCP. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  subnet:
    description: Addresses of these subnets only.
    type: list
    elements: str
  machine:
    description: Addresses of these machines only.
    type: list
    elements: str
  mac:
    description: Addresses of these MAC addresses only.
    type: list
    elements: str
  source:
    description: Addresses that belong to a V(machine), that are kept by a V(reservation), or that V(dhcp) gave to anyone.
    type: list
    elements: str
    choices: [machine, reservation, dhcp]
seealso:
  - module: metalwright.fleet.ip_reservation_info
  - module: metalwright.fleet.machine_interface_info
"""

EXAMPLES = r"""
- name: Look at whom DHCP has given an address
  metalwright.fleet.ip_address_info:
    subnet: [provisioning]
    source: [dhcp]
  register: guests
"""

RETURN = r"""
addresses:
  description:
    - The addresses, in the order of their numbers.
    - RV(addresses[].since) is when the address was reserved or given, V(null) where that is not known; RV(addresses[].lease) is
      what DHCP gave, V(null) where it gave nothing.
  returned: success
  type: list
  elements: dict
  contains:
    since:
      description: When it was reserved or given.
      type: str
    lease:
      description: The card, since when and until when it has the address by DHCP.
      type: dict
  sample:
    - address: 10.0.0.101
      subnet: provisioning
      source: dhcp
      mac: 52:54:00:bb:00:07
      machine:
      name:
      since: "2026-11-29T12:00:00+00:00"
      lease:
        mac: 52:54:00:bb:00:07
        since: "2026-11-29T12:00:00+00:00"
        until: "2026-11-29T13:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing

ADDRESSES = Listing(
    "addresses",
    "/addresses",
    filters={
        "subnet": MANY,
        "machine": MANY,
        "mac": MANY,
        "source": {**MANY, "choices": ["machine", "reservation", "dhcp"]},
    },
    key=None,
)


def main():
    """Run the module."""
    ADDRESSES.run()


if __name__ == "__main__":
    main()
