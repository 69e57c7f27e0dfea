#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token of the API."""

from __future__ import annotations

DOCUMENTATION = r"""
module: token
short_description: Manage tokens of the API
version_added: 0.1.0
description:
  - Whoever has a token may use the API. Its text is told only once, when it is made; this module writes it to a file that only its
    owner can read, and never returns it.
  - A token that is there, and whose file is there, is left alone.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the token, which is shown as who asked for an operation.
    type: str
    required: true
  state:
    description:
      - Whether the token is to be there. A token that is removed is void at once.
      - The file of a removed token stays.
    type: str
    choices: [present, absent]
    default: present
  path:
    description:
      - File that has the token, on the host on which the module runs. Its mode is C(0600).
      - Needed with O(state=present).
    type: path
  expires_in:
    description: Seconds until a new token expires. Never if not given. A token that is there stays as it is.
    type: int
  renew:
    description:
      - Whether a token that has expired, or whose file is not there, is made anew. Its old text is void then.
      - If not, the task fails.
    type: bool
    default: false
seealso:
  - module: metalwright.fleet.token_info
"""

EXAMPLES = r"""
- name: Let the monitoring look
  metalwright.fleet.token:
    name: monitoring
    path: ~/.metalwright-monitoring
    expires_in: 31536000
    renew: true

- name: Let it look no more
  metalwright.fleet.token:
    name: monitoring
    state: absent
"""

RETURN = r"""
token:
  description: The token as it is now, or would be in check mode, without its text; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    name: monitoring
    created_at: "2026-11-21T12:00:00+00:00"
    expires_at: "2027-11-21T12:00:00+00:00"
    last_used_at: null
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run
from ansible_collections.metalwright.fleet.plugins.module_utils._token import FIELDS, ensure

OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "path": {"type": "path"},
    **FIELDS,
    "renew": {"type": "bool", "default": False},
}


def main():
    """Run the module."""
    run(ensure, OPTIONS, required_if=[("state", "present", ["path"])])


if __name__ == "__main__":
    main()
