#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of machines and the defaults they share."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pool
short_description: Manage pools, and the defaults that their machines share
version_added: 0.1.0
description:
  - Machines are in pools. A pool says how the disks of its machines are erased when a release does not say how.
  - A pool that is only a name that machines bear has the defaults of every pool. This module gives it others.
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the pool.
    type: str
    required: true

  state:
    description:
      - Whether the pool is to be there.
      - A pool that machines are in is not removed.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: What it is for.
    type: str
  erase:
    description:
      - How a release erases disks that does not say how.
      - V(quick), signatures and both ends.
      - V(full), every block.
      - V(secure), the drive's own erase where it has one, else every block.
    type: str
    choices: [quick, full, secure]
seealso:
  - module: metalwright.fleet.pool_info
  - module: metalwright.fleet.machine
"""

EXAMPLES = r"""
- name: Have everything that leaves the laboratory overwritten
  metalwright.fleet.pool:
    name: lab
    description: Machines that students use
    erase: full

- name: Forget a pool that nothing is in any more
  metalwright.fleet.pool:
    name: old-lab
    state: absent
"""

RETURN = r"""
pool:
  description: The pool as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    name: lab
    description: Machines that students use
    erase: full
    defined: true
    machines:
      ready: 3
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run

POOL = Resource(
    "pool",
    "/pools",
    {
        "description": {"type": "str"},
        "erase": {"type": "str", "choices": ["quick", "full", "secure"]},
    },
    whole=True,
    exists=lambda pool: pool["defined"],
)


def main():
    """Run the module."""
    run(POOL.manage, POOL.options())


if __name__ == "__main__":
    main()
