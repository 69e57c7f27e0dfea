#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about scripts that machines run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: script_info
short_description: Look at scripts that machines run
version_added: 0.1.0
description:
  - Returns scripts that machines run. Changes nothing.
  - The text of a script is returned where the script is named.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one script. Where there is none, the list that is returned is empty.
    type: str

  kind:
    description: Only scripts of these kinds, which are V(commissioning), V(test) and V(release).
    type: list
    elements: str
  automatic:
    description: Only those that run without being named, or only those that do not.
    type: bool
  builtin:
    description: Only those that come with the controller, or only those that do not.
    type: bool
seealso:
  - module: metalwright.fleet.script
  - module: metalwright.fleet.script_run_info
"""

EXAMPLES = r"""
- name: Look at the tests that every machine has to pass
  metalwright.fleet.script_info:
    kind: test
    automatic: true
  register: tests

- name: Read the text of one script
  metalwright.fleet.script_info:
    name: memory
  register: memory
"""

RETURN = r"""
scripts:
  description: The scripts that machines run. The keys of one are those that M(metalwright.fleet.script) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: memory
      kind: test
      title: Memory, every page written and read
      timeout: 3600
      required: true
      automatic: false
      builtin: true
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing, MANY

SCRIPTS = Listing("scripts", "/scripts", {"kind": MANY, "automatic": {"type": "bool"}, "builtin": {"type": "bool"}})


def main():
    """Run the module."""
    SCRIPTS.run()


if __name__ == "__main__":
    main()
