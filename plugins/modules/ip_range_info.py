#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about ranges of addresses."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_range_info
short_description: Look at ranges of addresses
version_added: 0.1.0
description:
  - Returns ranges of addresses. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  start:
    description: First address of one range. Where there is none, the list that is returned is empty.
    type: str
  subnet:
    description: Ranges of these subnets only.
    type: list
    elements: str
  kind:
    description: Ranges of these kinds only.
    type: list
    elements: str
    choices: [dynamic, static, reserved]
seealso:
  - module: metalwright.fleet.ip_range
  - module: metalwright.fleet.subnet_info
"""

EXAMPLES = r"""
- name: Look at what machines get their addresses from
  metalwright.fleet.ip_range_info:
    subnet: [provisioning]
    kind: [static]
  register: static
"""

RETURN = r"""
ranges:
  description: The ranges, by their first address. The keys of one are those that M(metalwright.fleet.ip_range) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - subnet: provisioning
      kind: static
      start: 10.0.0.10
      end: 10.0.0.89
      comment: ""
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing

RANGES = Listing(
    "ranges",
    "/ranges",
    filters={"subnet": MANY, "kind": {**MANY, "choices": ["dynamic", "static", "reserved"]}},
    key="start",
)


def main():
    """Run the module."""
    RANGES.run()


if __name__ == "__main__":
    main()
