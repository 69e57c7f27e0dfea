#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about webhooks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: webhook_info
short_description: Look at webhooks
version_added: 0.1.0
description:
  - Returns webhooks. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one webhook. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.webhook
"""

EXAMPLES = r"""
- name: Look for webhooks whose server does not answer
  metalwright.fleet.webhook_info:
  register: all

- name: Show them
  ansible.builtin.debug:
    msg: "{{ all.webhooks | selectattr('failures') | map(attribute='name') }}"
"""

RETURN = r"""
webhooks:
  description: The webhooks. The keys of one are those that M(metalwright.fleet.webhook) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: chat
      url: https://chat.example.com/hooks/metal
      events: [operation.failed]
      enabled: true
      cursor: 4711
      failures: 0
      last_error: ""
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

WEBHOOKS = Listing("webhooks", "/webhooks")


def main():
    """Run the module."""
    WEBHOOKS.run()


if __name__ == "__main__":
    main()
