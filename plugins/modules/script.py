#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that machines run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: script
short_description: Manage scripts that machines run
version_added: 0.1.0
description:
  - Scripts run on machines in the agent's memory when they are commissioned, tested or released. What a script is for, how long it
    may take and what it is told stands in its header, which C(docs/reference/scripts.md) explains.
  - Those that come with the controller can be neither changed nor removed.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the script. Its header has the same.
    type: str
    required: true
  state:
    description: Whether the script is to be there. What became of it on machines is kept when it goes.
    type: str
    choices: [present, absent]
    default: present
  source:
    description: The whole text, from C(#!) on. Needed to create the script, unless O(source_file) is given.
    type: str
  source_file:
    description: File with the text, on the host on which the module runs. That is usually the control node.
    type: path
seealso:
  - module: metalwright.fleet.script_info
  - module: metalwright.fleet.script_run_info
"""

EXAMPLES = r"""
- name: Look at the air conditioning before a machine may be used
  metalwright.fleet.script:
    name: temperature
    source: |
      #!/bin/sh
      # --- metalwright
      # name: temperature
      # kind: test
      # title: No sensor is hotter than 60 degrees
      # timeout: 30s
      # automatic: true
      # ---
      for sensor in /sys/class/thermal/*/temp; do
          [ -e "$sensor" ] || continue
          [ "$(cat "$sensor")" -lt 60000 ] || exit 1
      done

- name: Forget it
  metalwright.fleet.script:
    name: temperature
    state: absent
"""

RETURN = r"""
script:
  description: The script as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    name: temperature
    kind: test
    title: No sensor is hotter than 60 degrees
    timeout: 30
    parameters: {}
    hardware: ""
    may_reboot: false
    destructive: false
    parallel: false
    required: true
    automatic: true
    builtin: false
    source: "#!/bin/sh"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run, text

SCRIPT = Resource("script", "/scripts", {"source": {"type": "str"}}, whole=True, needed=("source",))


def ensure(module, client):
    """Bring the script there, or away."""
    return SCRIPT.result(*SCRIPT.ensure(client, {**module.params, "source": text(module.params, "source")}))


def main():
    """Run the module."""
    run(ensure, {**SCRIPT.options(), "source_file": {"type": "path"}}, mutually_exclusive=[("source", "source_file")])


if __name__ == "__main__":
    main()
