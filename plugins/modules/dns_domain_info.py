#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about domains."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_domain_info
short_description: Look at domains
version_added: 0.1.0
description:
  - Returns domains. Changes nothing.
  - M(metalwright.fleet.dns_record_info) returns their records.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one domain. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.dns_domain
  - module: metalwright.fleet.dns_record_info
"""

EXAMPLES = r"""
- name: Look at all domains
  metalwright.fleet.dns_domain_info:
  register: names

- name: Show which are held here
  ansible.builtin.debug:
    msg: "{{ names.domains | rejectattr('forward_to') | map(attribute='name') | list }}"
"""

RETURN = r"""
domains:
  description: The domains. The keys of one are those that M(metalwright.fleet.dns_domain) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: lab.example.com
      forward_to: []
      ttl: 600
      default: false
      records: 4
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

DOMAINS = Listing("domains", "/domains")


def main():
    """Run the module."""
    DOMAINS.run()


if __name__ == "__main__":
    main()
