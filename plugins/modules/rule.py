#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rule that sorts machines by their hardware."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rule
short_description: Manage rules that sort machines by their hardware
version_added: 0.1.0
description:
  - A rule gives tags, a pool, a zone, a name or a power driver to machines whose hardware fits, as soon as they have been
    commissioned. C(docs/reference/expressions.md) explains conditions.
  - It holds for inventories that arrive from now on. C(metalwright rule apply) applies rules to machines that are here already.
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the rule.
    type: str
    required: true

  state:
    description: Whether the rule is to be there. What a rule has set stays when it goes.
    type: str
    choices: [present, absent]
    default: present
  when:
    description: Condition over the hardware, for example V(memory >= 64GiB and nic.vendor ~ Mellanox). Needed to create the rule.
    type: str
  actions:
    description: What is done to machines that fit. Needed to create the rule. Replaces all of what was there.
    type: dict
    suboptions:
      add_tags:
        description: Tags to give.
        type: list
        elements: str
      remove_tags:
        description: Tags to take away.
        type: list
        elements: str
      pool:
        description: Pool to put it into.
        type: str
      zone:
        description: Zone to put it into.
        type: str
      power_driver:
        description: Power driver. It is set only if the machine has the parameters that it needs.
        type: str
      hostname_pattern:
        description: Name to give it, for example V(r{rack}-{serial}).
        type: str
  position:
    description: Rules are applied by position, then by name. V(100) for a new one if not given.
    type: int
  enabled:
    description: Whether it is applied when an inventory arrives. V(true) for a new one if not given.
    type: bool
seealso:
  - module: metalwright.fleet.rule_info
  - module: metalwright.fleet.machine
"""

EXAMPLES = r"""
- name: Know the machines with fast disks
  metalwright.fleet.rule:
    name: fast-disks
    when: "any(disk: not rotational and size >= 10GiB)"
    actions:
      add_tags: [ssd]
  register: fast

- name: Show which of those that are here fit already
  ansible.builtin.debug:
    var: fast.matches

- name: Stop applying it
  metalwright.fleet.rule:
    name: fast-disks
    enabled: false

- name: Forget it
  metalwright.fleet.rule:
    name: fast-disks
    state: absent
"""

RETURN = r"""
rule:
  description: The rule as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    name: fast-disks
    position: 100
    when: "any(disk: not rotational and size >= 10GiB)"
    actions:
      add_tags: [ssd]
    enabled: true
matches:
  description: Names of machines whose inventory fits, the first thousand. Nothing was done to them.
  returned: success
  type: list
  elements: str
  sample: [node1, node2]
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run

ACTIONS = {
    "add_tags": {"type": "list", "elements": "str"},
    "remove_tags": {"type": "list", "elements": "str"},
    "pool": {"type": "str"},
    "zone": {"type": "str"},
    "power_driver": {"type": "str"},
    "hostname_pattern": {"type": "str"},
}

RULE = Resource(
    "rule",
    "/rules",
    {
        "when": {"type": "str"},
        "actions": {"type": "dict", "options": ACTIONS},
        "position": {"type": "int"},
        "enabled": {"type": "bool"},
    },
    whole=True,
    needed=("when", "actions"),
)


def ensure(module, client):
    """Bring the rule there, or away; the machines that fit it are told beside it."""
    result = RULE.manage(module, client)
    return {**result, "matches": (result["rule"] or {}).pop("matches", [])}


def main():
    """Run the module."""
    run(ensure, RULE.options())


if __name__ == "__main__":
    main()
