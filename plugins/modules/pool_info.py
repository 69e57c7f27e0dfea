#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about pools."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_info
short_description: Look at pools
version_added: 0.1.0
description:
  - Returns pools. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one pool. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.pool
"""

EXAMPLES = r"""
- name: Look at all pools
  metalwright.fleet.pool_info:
  register: all

- name: Show how many machines of each are free
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.machines.ready | default(0) }}"
  loop: "{{ all.pools }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
pools:
  description: The pools. The keys of one are those that M(metalwright.fleet.pool) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: lab
      description: Machines that students use
      erase: full
      defined: true
      machines:
        deployed: 12
        ready: 3
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

POOLS = Listing("pools", "/pools")


def main():
    """Run the module."""
    POOLS.run()


if __name__ == "__main__":
    main()
