#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about tokens of the API."""

from __future__ import annotations

DOCUMENTATION = r"""
module: token_info
short_description: Look at tokens of the API
version_added: 0.1.0
description:
  - Returns tokens of the API. Changes nothing.
  - The text of a token is told by nobody, once it has been made.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description: Name of one token. Where there is none, the list that is returned is empty.
    type: str
seealso:
  - module: metalwright.fleet.token
"""

EXAMPLES = r"""
- name: Look for tokens that nobody has used yet
  metalwright.fleet.token_info:
  register: all

- name: Show them
  ansible.builtin.debug:
    msg: "{{ all.tokens | rejectattr('last_used_at') | map(attribute='name') }}"
"""

RETURN = r"""
tokens:
  description: The tokens of the API. The keys of one are those that M(metalwright.fleet.token) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: monitoring
      created_at: "2026-11-21T12:00:00+00:00"
      expires_at: "2027-11-21T12:00:00+00:00"
      last_used_at: "2026-11-28T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import Listing

TOKENS = Listing("tokens", "/tokens")


def main():
    """Run the module."""
    TOKENS.run()


if __name__ == "__main__":
    main()
