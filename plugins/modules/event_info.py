#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about events."""

from __future__ import annotations

DOCUMENTATION = r"""
module: event_info
short_description: Look at what happened
version_added: 0.1.0
description:
  - Returns events in the order in which they happened, from a cursor on. Changes nothing.
  - Who keeps the cursor that is returned, and gives it as O(after) the next time, misses nothing and sees nothing twice.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes.info
options:
  after:
    description:
      - The cursor after which events are returned.
      - V(latest), only what happens from now on, for which O(wait_timeout) waits.
    type: str
    default: "0"
  limit:
    description: How many are returned at most, 1000 at most. The cursor leads to the next ones.
    type: int
    default: 100
  machine:
    description: Only events of these machines, by their names or IDs.
    type: list
    elements: str
  operation:
    description: Only events of these operations, by their IDs.
    type: list
    elements: str
  kind:
    description: Only events of these kinds, for example V(operation.failed).
    type: list
    elements: str
  wait_timeout:
    description: Seconds to wait for an event if there is none.
    type: int
    default: 0
seealso:
  - module: metalwright.fleet.operation_info
  - module: metalwright.fleet.webhook
"""

EXAMPLES = r"""
- name: Look at what failed
  metalwright.fleet.event_info:
    kind: operation.failed
  register: failed

- name: Wait for a machine to announce itself, a few seconds
  metalwright.fleet.event_info:
    after: "{{ failed.cursor }}"
    kind: machine.enlisted
    wait_timeout: 3
  register: enlisted
"""

RETURN = r"""
events:
  description: The events.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 4711
      at: "2026-11-21T12:00:00+00:00"
      kind: operation.succeeded
      message: "node1: deploy succeeded"
      machine:
        id: 0c6e2a9f3b1d4857
        name: node1
      operation: 5f0c1d2e3a4b5c6d
      data:
        kind: deploy
        before: deploying
        state: deployed
cursor:
  description: Where to go on.
  returned: success
  type: int
  sample: 4711
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import events

OPTIONS = {
    "after": {"type": "str", "default": "0"},
    "limit": {"type": "int", "default": 100},
    "machine": MANY,
    "operation": MANY,
    "kind": MANY,
    "wait_timeout": {"type": "int", "default": 0},
}


def look(module, client):
    """Return the events, as soon as there are any."""
    query = {name: module.params[name] for name in OPTIONS if name != "wait_timeout"}
    return events(client, query, module.params["wait_timeout"])


def main():
    """Run the module."""
    run(look, OPTIONS)


if __name__ == "__main__":
    main()
