#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How names are answered."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_settings
short_description: Manage how names are answered
version_added: 0.1.0
description:
  - Says who may ask for names, and where the controller asks for names of others. There is one such setting, that of the controller.
  - What nobody has set here is as the controller's own settings say, C([dns]) in its file.
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  state:
    description: With V(absent), everything is as the controller's own settings say.
    type: str
    choices: [present, absent]
    default: present
  forwarders:
    description: Addresses of name servers that are asked for names of others. An empty list, nobody is.
    type: list
    elements: str
  query_from:
    description: Networks that may ask for names of ours. An empty list, the subnets.
    type: list
    elements: str
  recurse_from:
    description: Networks that may ask for names of others. An empty list, the subnets.
    type: list
    elements: str
  ttl:
    description: Seconds that an answer may be kept, where neither a record nor its domain says anything.
    type: int
seealso:
  - module: metalwright.fleet.dns_settings_info
  - module: metalwright.fleet.dns_domain
"""

EXAMPLES = r"""
- name: Ask the site's resolvers for names of others
  metalwright.fleet.dns_settings:
    forwarders: [192.0.2.1, 192.0.2.2]

- name: Let networks beyond the subnets ask as well, with the engine kea+bind
  metalwright.fleet.dns_settings:
    recurse_from: [10.0.0.0/8]

- name: Back to what the controller's own settings say
  metalwright.fleet.dns_settings:
    state: absent
"""

RETURN = r"""
dns:
  description:
    - How names are answered now, or would be in check mode.
    - RV(dns.set) names what is not from the controller's own settings.
  returned: success
  type: dict
  contains:
    set:
      description: What is not from the controller's own settings.
      type: list
      elements: str
  sample:
    forwarders: [192.0.2.1, 192.0.2.2]
    query_from: []
    recurse_from: [10.0.0.0/8]
    ttl: 300
    default_domain: metalwright.internal
    set: [forwarders, recurse_from]
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

FIELDS = {
    "forwarders": {"type": "list", "elements": "str"},
    "query_from": {"type": "list", "elements": "str"},
    "recurse_from": {"type": "list", "elements": "str"},
    "ttl": {"type": "int"},
}
OPTIONS = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}, **FIELDS}


def ensure(module, client):
    """Have names answered as wished; the controller says whether that is a change."""
    before = client.get("/dns")
    if module.params["state"] == "absent":
        wished = dict.fromkeys(before["set"])
    else:
        wished = {field: module.params[field] for field in FIELDS if module.params[field] is not None}
    after = client.write("PATCH", "/dns", wished) if wished else before
    changed = after.pop("changed", False)
    return {"changed": changed, "dns": after, "diff": {"before": before, "after": after}}


def main():
    """Run the module."""
    run(ensure, OPTIONS)


if __name__ == "__main__":
    main()
