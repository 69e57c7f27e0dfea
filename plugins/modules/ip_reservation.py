#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An address that one network card gets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_reservation
short_description: Manage addresses that are kept for a network card
version_added: 0.1.0
description:
  - A reservation keeps an address for a network card, whether the card is a machine's or not. Its address says on which subnet it is.
  - A card has one address on a subnet. One that has another reserved there is given this one instead.
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  address:
    description: The address, IPv4 or IPv6.
    type: str
    required: true
  state:
    description:
      - Whether the address is to be kept for anybody.
      - A machine that has the address keeps it.
    type: str
    choices: [present, absent]
    default: present
  mac:
    description: MAC address of the card. Needed to create the reservation.
    type: str
  name:
    description: Its name in DNS, without a domain. An empty string, it has none.
    type: str
  domain:
    description: Domain of its name, which is made if it is not there. An empty string, that of the subnet.
    type: str
  comment:
    description: What it is for, in words.
    type: str
seealso:
  - module: metalwright.fleet.ip_reservation_info
  - module: metalwright.fleet.ip_address_info
  - module: metalwright.fleet.dhcp_option
"""

EXAMPLES = r"""
- name: Keep an address for the printer
  metalwright.fleet.ip_reservation:
    address: 10.0.0.5
    mac: 52:54:00:aa:00:01
    name: printer
    comment: 2nd floor

- name: Forget it
  metalwright.fleet.ip_reservation:
    address: 10.0.0.5
    state: absent
"""

RETURN = r"""
reservation:
  description: The reservation as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    id: 0c6e2a9f3b1d4857
    subnet: provisioning
    mac: 52:54:00:aa:00:01
    address: 10.0.0.5
    name: printer
    domain:
    comment: 2nd floor
    created_at: "2026-11-29T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._address import canonical
from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run

FIELDS = {"mac": {"type": "str"}, "name": {"type": "str"}, "domain": {"type": "str"}, "comment": {"type": "str"}}

RESERVATION = Resource(
    "reservation",
    "/reservations",
    FIELDS,
    key="address",
    needed=("mac",),
    nothing={"name": "", "domain": ""},
    awaits=("address_outside_subnets",),
)


def ensure(module, client):
    """Have the address kept as wished, or for nobody; a card that has another one on this subnet gets this one."""
    module.params["address"] = canonical(module.params["address"])
    try:
        return RESERVATION.manage(module, client)
    except ApiError as error:
        if error.code != "mac_reserved":
            raise
        before = RESERVATION.read(client, error.details["address"])
        if before is None:
            raise
        return RESERVATION.result(before, RESERVATION.change(client, before, module.params))


def main():
    """Run the module."""
    run(ensure, RESERVATION.options())


if __name__ == "__main__":
    main()
