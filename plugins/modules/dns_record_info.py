#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about DNS records."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_record_info
short_description: Look at DNS records
version_added: 0.1.0
description:
  - Returns DNS records that somebody has declared. Changes nothing.
  - Names of machines and reservations are not among them; M(metalwright.fleet.ip_address_info) returns those.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  domain:
    description: Records of these domains only.
    type: list
    elements: str
  name:
    description: Records of these names in their domain only. V(@) is the domain itself.
    type: list
    elements: str
  type:
    description: Records of these types only.
    type: list
    elements: str
    choices: [A, AAAA, CNAME, MX, TXT, SRV]
seealso:
  - module: metalwright.fleet.dns_record
  - module: metalwright.fleet.dns_domain_info
"""

EXAMPLES = r"""
- name: Look at the aliases of a domain
  metalwright.fleet.dns_record_info:
    domain: [lab.example.com]
    type: [CNAME]
  register: aliases
"""

RETURN = r"""
records:
  description: The records, by domain, name and type.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 0c6e2a9f3b1d4857
      domain: lab.example.com
      name: shop
      type: CNAME
      data: www.lab.example.com
      ttl:
      created_at: "2026-11-29T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing

RECORDS = Listing(
    "records",
    "/records",
    filters={"domain": MANY, "name": MANY, "type": {**MANY, "choices": ["A", "AAAA", "CNAME", "MX", "TXT", "SRV"]}},
    key=None,
)


def main():
    """Run the module."""
    RECORDS.run()


if __name__ == "__main__":
    main()
