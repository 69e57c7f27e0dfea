#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain and its records."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_domain
short_description: Manage domains, with all of their records
version_added: 0.1.0
description:
  - A domain is held here, with records, or asked elsewhere. Names of machines and reservations are in it by themselves, and
    reverse zones of the subnets are made by themselves.
  - With O(records) all records of the domain are declared in one task and written in one step, however many they are. To have
    several playbooks look after one domain, leave it out and use M(metalwright.fleet.dns_record).
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the domain, for example V(lab.example.com).
    type: str
    required: true
  state:
    description:
      - Whether the domain is to be there.
      - A domain that subnets or reservations name is not removed, nor is one that has records. To remove those, declare it with
        O(records=[]) first.
    type: str
    choices: [present, absent]
    default: present
  forward_to:
    description: Addresses of the name servers that are asked for its names. An empty list, it is held here.
    type: list
    elements: str
  ttl:
    description: Seconds that an answer may be kept, where a record says nothing.
    type: int
  description:
    description: What it is for.
    type: str
  records:
    description: All of its records; others that the domain has are deleted. Leave it out to leave them alone.
    type: list
    elements: dict
    suboptions:
      name:
        description: Relative to the domain, or ending in it and a dot. V(@) is the domain itself.
        type: str
        default: "@"
      type:
        description: Type of the record. PTR records are kept by themselves.
        type: str
        choices: [A, AAAA, CNAME, MX, TXT, SRV]
        required: true
      data:
        description: As in a zone file, but names need no dot at their end. A name of one label is meant in the domain.
        type: str
        required: true
      ttl:
        description: Seconds that an answer may be kept. By default as the domain says.
        type: int
seealso:
  - module: metalwright.fleet.dns_domain_info
  - module: metalwright.fleet.dns_record
  - module: metalwright.fleet.dns_settings
"""

EXAMPLES = r"""
- name: Hold a domain here, with these records and no others
  metalwright.fleet.dns_domain:
    name: lab.example.com
    ttl: 600
    records:
      - {name: www, type: A, data: 10.0.0.5}
      - {name: shop, type: CNAME, data: www}
      - {type: MX, data: 10 mail.example.com}
      - {type: TXT, data: v=spf1 mx -all, ttl: 3600}

- name: Ask for a domain elsewhere
  metalwright.fleet.dns_domain:
    name: corp.example.com
    forward_to: [192.0.2.53]

- name: Forget it
  metalwright.fleet.dns_domain:
    name: corp.example.com
    state: absent
"""

RETURN = r"""
domain:
  description:
    - The domain as it is now, or would be in check mode; V(null) when it is absent.
    - RV(domain.default) says that machines have their names there whose subnet names no domain, RV(domain.records) counts.
  returned: success
  type: dict
  contains:
    default:
      description: Whether machines have their names there whose subnet names no domain.
      type: bool
    records:
      description: How many records it has.
      type: int
  sample:
    id: 0c6e2a9f3b1d4857
    name: lab.example.com
    forward_to: []
    ttl: 600
    description: ""
    default: false
    records: 4
    created_at: "2026-11-29T12:00:00+00:00"
records:
  description: All records as they are now, or would be in check mode, where O(records) was given; else an empty list.
  returned: success
  type: list
  elements: dict
  sample:
    - name: www
      type: A
      data: 10.0.0.5
      ttl:
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run, stated

FIELDS = {"forward_to": {"type": "list", "elements": "str"}, "ttl": {"type": "int"}, "description": {"type": "str"}}
RECORD = {
    "name": {"type": "str", "default": "@"},
    "type": {"type": "str", "required": True, "choices": ["A", "AAAA", "CNAME", "MX", "TXT", "SRV"]},
    "data": {"type": "str", "required": True},
    "ttl": {"type": "int"},
}

DOMAIN = Resource("domain", "/domains", FIELDS)


OPTIONS = {**DOMAIN.options(), "records": {"type": "list", "elements": "dict", "options": RECORD}}


def ensure(module, client):
    """Have the domain as wished, or none; all of its records are one request."""
    module.params["name"] = module.params["name"].lower().removesuffix(".")
    result = DOMAIN.manage(module, client)
    wished = module.params["records"]
    if wished is None or module.params["state"] == "absent":
        return {**result, "records": []}
    answer = client.write("PUT", f"{DOMAIN.where(module.params['name'])}/records", {"records": stated(wished)})
    result["changed"] = result["changed"] or answer["changed"]
    result["domain"]["records"] = len(answer["records"])
    if result["diff"]["before"]:
        result["diff"]["before"]["records"] = lines(answer["before"])
    result["diff"]["after"]["records"] = lines(answer["records"])
    return {**result, "records": answer["records"]}


def lines(records):
    """Return records as a person compares them."""
    return [
        " ".join(str(record[field]) for field in ("name", "ttl", "type", "data") if record[field] is not None)
        for record in records
    ]


def main():
    """Run the module."""
    run(ensure, OPTIONS)


if __name__ == "__main__":
    main()
