#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about rules."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rule_info
short_description: Look at rules
version_added: 0.1.0
description:
  - Returns rules. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one rule. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.rule
"""

EXAMPLES = r"""
- name: Look at all rules, in the order in which they are applied
  metalwright.fleet.rule_info:
    fields: [name, when, enabled]
  register: sorting
"""

RETURN = r"""
rules:
  description: The rules. The keys of one are those that M(metalwright.fleet.rule) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: fast-disks
      position: 100
      when: "any(disk: not rotational and size >= 10GiB)"
      actions:
        add_tags: [ssd]
      enabled: true
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

RULES = Listing("rules", "/rules")


def main():
    """Run the module."""
    RULES.run()


if __name__ == "__main__":
    main()
