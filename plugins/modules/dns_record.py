#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of one name and type."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_record
short_description: Manage DNS records, one name and type at a time
version_added: 0.1.0
description:
  - Declares all records of one name and one type in a domain that is held here. A value that is not in O(data) is deleted, so a name
    whose address has become another has the new one only.
  - Records of the same name and another type are left alone. So are all others of the domain; O(metalwright.fleet.dns_domain#module:records)
    of M(metalwright.fleet.dns_domain) declares all of them.
  - Names of machines and reservations are there by themselves, and so are the PTR records of whatever has an address.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  domain:
    description: Name of the domain, which has to be there.
    type: str
    required: true
  name:
    description: Relative to the domain, or ending in it and a dot. V(@) is the domain itself.
    type: str
    default: "@"
  type:
    description: Type of the records.
    type: str
    choices: [A, AAAA, CNAME, MX, TXT, SRV]
    required: true
  state:
    description: Whether there are to be such records. With V(absent) all of this name and type are deleted.
    type: str
    choices: [present, absent]
    default: present
  data:
    description:
      - All values that the name has, each as in a zone file, but names need no dot at their end. A name of one label is meant in
        the domain.
      - Needed unless O(state=absent).
    type: list
    elements: str
  ttl:
    description: Seconds that an answer may be kept. Left out, it stays what it is; new records have that of the domain.
    type: int
seealso:
  - module: metalwright.fleet.dns_record_info
  - module: metalwright.fleet.dns_domain
"""

EXAMPLES = r"""
- name: Have a domain
  metalwright.fleet.dns_domain:
    name: records.example.com

- name: Have a name lead to two servers, and to no other
  metalwright.fleet.dns_record:
    domain: records.example.com
    name: www
    type: A
    data: [10.0.0.5, 10.0.0.6]

- name: Say where mail goes
  metalwright.fleet.dns_record:
    domain: records.example.com
    type: MX
    data: 10 mail.example.com
    ttl: 3600

- name: Forget the servers
  metalwright.fleet.dns_record:
    domain: records.example.com
    name: www
    type: A
    state: absent
"""

RETURN = r"""
records:
  description: The records of this name and type as they are now, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: www, type: A, data: 10.0.0.5, ttl: null}
    - {name: www, type: A, data: 10.0.0.6, ttl: null}
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

OPTIONS = {
    "domain": {"type": "str", "required": True},
    "name": {"type": "str", "default": "@"},
    "type": {"type": "str", "required": True, "choices": ["A", "AAAA", "CNAME", "MX", "TXT", "SRV"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "data": {"type": "list", "elements": "str"},
    "ttl": {"type": "int"},
}


def ensure(module, client):
    """Declare all records of the name and type; the controller says whether that is a change."""
    params = module.params
    present = params["state"] == "present"
    wished = {field: params[field] for field in ("domain", "name", "type")}
    wished["data"] = params["data"] if present else []
    if present and params["ttl"] is not None:
        wished["ttl"] = params["ttl"]
    try:
        answer = client.write("PUT", "/record-sets", wished)
    except ApiError as error:
        if error.code != "domain_not_found" or (present and not client.dry_run):
            raise
        if present:  # the task before this one would have made the domain
            module.warn(f"{error.message} As long as that is so, the records of {params['name']} can not be checked further.")
        after = {"data": wished["data"], "ttl": params["ttl"]} if present else {}
        return {"changed": present, "records": [], "diff": {"before": {}, "after": after}}
    diff = {"before": shown(answer["before"]), "after": shown(answer["records"])}
    return {"changed": answer["changed"], "records": answer["records"], "diff": diff}


def shown(records):
    """Return what a person compares."""
    return {"data": [record["data"] for record in records], "ttl": records[0]["ttl"]} if records else {}


def main():
    """Run the module."""
    run(ensure, OPTIONS, required_if=[("state", "present", ["data"])])


if __name__ == "__main__":
    main()
