#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about how names are answered."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_settings_info
short_description: Look at how names are answered
version_added: 0.1.0
description:
  - Returns how names are answered. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes.info
options: {}
seealso:
  - module: metalwright.fleet.dns_settings
"""

EXAMPLES = r"""
- name: Look at where names of others are asked
  metalwright.fleet.dns_settings_info:
  register: answered

- name: Show it
  ansible.builtin.debug:
    msg: "{{ answered.dns.forwarders }}"
"""

RETURN = r"""
dns:
  description: How names are answered. Its keys are those that M(metalwright.fleet.dns_settings) returns.
  returned: success
  type: dict
  sample:
    forwarders: [192.0.2.1, 192.0.2.2]
    query_from: []
    recurse_from: [10.0.0.0/8]
    ttl: 300
    default_domain: metalwright.internal
    set: [forwarders, recurse_from]
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run


def look(_module, client):
    """Return how names are answered."""
    return {"dns": client.get("/dns")}


def main():
    """Run the module."""
    run(look, {})


if __name__ == "__main__":
    main()
