#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about what became of scripts on a machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: script_run_info
short_description: Look at what became of scripts on a machine
version_added: 0.1.0
description:
  - Returns runs of scripts on a machine, the newest first. Changes nothing.
  - What a script printed, and its text as it was run, are returned where one O(run) is named.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.listing.recent
  - metalwright.fleet.attributes.info
options:
  machine:
    description: Name or ID of the machine.
    type: str
    required: true
  run:
    description:
      - ID of one run, or the name of a script, of which the newest run is meant.
      - Where there is none, the list that is returned is empty.
    type: str
  kind:
    description: Only runs of scripts of these kinds, which are V(commissioning), V(test) and V(release).
    type: list
    elements: str
  status:
    description:
      - Only runs that are V(pending), V(running), V(passed), V(failed), V(timeout), V(skipped) or V(aborted).
    type: list
    elements: str
  script:
    description: Only runs of these scripts.
    type: list
    elements: str
  operation:
    description: Only runs in these operations, by their IDs.
    type: list
    elements: str
seealso:
  - module: metalwright.fleet.script
  - module: metalwright.fleet.script_info
  - module: metalwright.fleet.operation_info
"""

EXAMPLES = r"""
- name: Look for tests that a machine did not pass
  metalwright.fleet.script_run_info:
    machine: node1
    kind: test
    status: [failed, timeout]
  register: wrong

- name: Read what one of them printed
  metalwright.fleet.script_run_info:
    machine: node1
    run: "{{ item.id }}"
  loop: "{{ wrong.runs }}"
  loop_control:
    label: "{{ item.script }}"
  register: printed
"""

RETURN = r"""
runs:
  description: The runs.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 4d1f8a3b2c5e6f70
      script: memory
      kind: test
      status: passed
      required: true
      exit_status: 0
      runtime_seconds: 61.2
      timeout_seconds: 3600
      reboots: 0
      parameters: {}
      result: null
      operation: 5f0c1d2e3a4b5c6d
      created_at: "2026-11-21T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing
from ansible_collections.metalwright.fleet.plugins.module_utils._machine import MACHINE
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

FILTERS = {"kind": MANY, "status": MANY, "script": MANY, "operation": MANY}


def runs_on(machine):
    """Return the list of the runs on one machine."""
    return Listing("runs", MACHINE.where(machine) + "/scripts", FILTERS, key="run", recent=True)


def look(module, client):
    """Return the runs asked for."""
    return runs_on(module.params["machine"]).look(module, client)


def main():
    """Run the module."""
    options = {"machine": {"type": "str", "required": True}, **runs_on("NAME").options()}
    run(look, options, mutually_exclusive=[("run", other) for other in FILTERS])


if __name__ == "__main__":
    main()
