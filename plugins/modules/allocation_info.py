#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about allocations."""

from __future__ import annotations

DOCUMENTATION = r"""
module: allocation_info
short_description: Look at allocations
version_added: 0.1.0
description:
  - Returns allocations. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one allocation. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.allocation
"""

EXAMPLES = r"""
- name: Look at one claim
  metalwright.fleet.allocation_info:
    name: hadoop
  register: hadoop

- name: Show its machines
  ansible.builtin.debug:
    msg: "{{ hadoop.allocations | map(attribute='machines') | flatten }}"
"""

RETURN = r"""
allocations:
  description: The allocations. The keys of one are those that M(metalwright.fleet.allocation) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: hadoop
      count: 4
      constraints:
        min_memory: 65536
      machines: [node1, node2, node3, node4]
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

ALLOCATIONS = Listing("allocations", "/allocations")


def main():
    """Run the module."""
    ALLOCATIONS.run()


if __name__ == "__main__":
    main()
