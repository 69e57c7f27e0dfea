#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines behind one address."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chassis
short_description: Enlist all machines behind one address
version_added: 0.1.0
description:
  - Some services have many machines, a hypervisor or a chassis with one management controller. This module enlists all of them at
    once, with the power driver that reaches them there.
  - A machine whose MAC addresses are known already stays as it is, so that doing it again enlists only what is new.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  driver:
    description:
      - V(libvirt), the virtual machines of a hypervisor.
      - V(redfish), the systems of a Redfish service.
    type: str
    choices: [libvirt, redfish]
    required: true
  parameters:
    description: How to reach the service.
    type: dict
    default: {}
    suboptions:
      uri:
        description: URI of the hypervisor, V(qemu:///system) if not given. For V(libvirt).
        type: str
      address:
        description: Name or address of the service, or its URL. Needed for V(redfish).
        type: str
      username:
        description: User there. Needed for V(redfish).
        type: str
      password:
        description: Password of that user. Needed for V(redfish). The controller never returns it.
        type: str
      auth:
        description: How to log in. V(auto) if not given, which prefers a session. For V(redfish).
        type: str
        choices: [auto, session, basic]
      verify:
        description:
          - V(true) if not given, the TLS certificate is verified. V(false), it is not. Else a file with certificates to trust, on
            the controller's host.
          - For V(redfish).
        type: str
  name_filter:
    description: Only machines whose name there fits, with V(*), V(?) and V([abc]).
    type: str
    default: "*"
  pool:
    description: Pool that new machines get.
    type: str
    default: default
  zone:
    description: Zone that new machines get.
    type: str
    default: default
  tags:
    description: Tags that new machines get.
    type: list
    elements: str
    default: []
seealso:
  - module: metalwright.fleet.machine
  - module: metalwright.fleet.power_driver_info
"""

EXAMPLES = r"""
- name: Enlist the virtual machines of a hypervisor
  metalwright.fleet.chassis:
    driver: libvirt
    parameters:
      uri: qemu+ssh://root@hypervisor.example.com/system
    tags: [virtual]
  register: found

- name: Commission what is new
  metalwright.fleet.machine:
    name: "{{ item }}"
    state: ready
  loop: "{{ found.added }}"
"""

RETURN = r"""
machines:
  description: What became of each machine that is there. C(outcome) is V(added), V(known) or V(skipped).
  returned: success
  type: list
  elements: dict
  sample:
    - name: web.example.com
      macs: ["52:54:00:00:00:01"]
      outcome: added
      machine: web
      reason: ""
added:
  description: Names of the machines that were, or would be, enlisted.
  returned: success
  type: list
  elements: str
  sample: [web]
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._power import PARAMETERS
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run, stated

OPTIONS = {
    "driver": {"type": "str", "required": True, "choices": ["libvirt", "redfish"]},
    "parameters": {
        "type": "dict",
        "default": {},
        "options": {name: PARAMETERS[name] for name in ("uri", "address", "username", "password", "auth", "verify")},
    },
    "name_filter": {"type": "str", "default": "*"},
    "pool": {"type": "str", "default": "default"},
    "zone": {"type": "str", "default": "default"},
    "tags": {"type": "list", "elements": "str", "default": []},
}
PATIENCE = 60
"""Seconds in which the controller has asked every machine there."""


def ensure(module, client):
    """Have every machine known that is behind the address; return the module's result."""
    body = {name: stated(module.params[name]) for name in OPTIONS}
    found = client.write("POST", "/chassis", body, patience=PATIENCE)["items"]
    known = [each["machine"] for each in found if each["outcome"] == "known"]
    added = [each["machine"] for each in found if each["outcome"] == "added"]
    diff = {"before": {"machines": sorted(known)}, "after": {"machines": sorted(known + added)}}
    return {"changed": bool(added), "machines": found, "added": added, "diff": diff}


def main():
    """Run the module."""
    run(ensure, OPTIONS)


if __name__ == "__main__":
    main()
