# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's machines as an Ansible inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: machines
short_description: Machines of a Metalwright controller
version_added: 0.1.0
description:
  - Makes a host of each machine, under its name. Its variables are listed with the option O(fields).
  - Machines are asked for a thousand at a time, and nothing is asked for that does not become a variable.
  - The name of the file must end in C(machines.yml) or C(machines.yaml).
  - Text that machines report about themselves is never executed as a template.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.connection.plugin
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [metalwright.fleet.machines]
  state:
    description: Only machines in one of these states, for example V(deployed). All if not given.
    type: list
    elements: str
  pool:
    description: Only machines of these pools.
    type: list
    elements: str
  zone:
    description: Only machines of these zones.
    type: list
    elements: str
  tags:
    description: Only machines that have all of these tags.
    type: list
    elements: str
  allocation:
    description: Only machines of these allocations.
    type: list
    elements: str
  fields:
    description:
      - What is known of each host, beside its name. All of these, if not given.
      - Each becomes a variable C(metalwright_machine_FIELD), as the controller's API returns it. Large inventories are read faster
        with those alone that plays use.
      - What the other options need is asked for in any case.
    type: list
    elements: str
    choices:
      - id
      - state
      - failed_from
      - failure
      - former_state
      - note
      - test_status
      - locked
      - arch
      - firmware
      - pool
      - zone
      - tags
      - description
      - power
      - interfaces
      - cpu_count
      - memory_mib
      - disk_gib
      - allocation
      - deployed
      - host_keys
      - rescue
      - created_at
      - updated_at
  hardware:
    description:
      - Parts of the hardware inventory to have in C(metalwright_machine_hardware), by their keys and dots, for example
        V(system.serial), V(cpu) or V(disks). C(docs/reference/inventory.md) lists all.
      - V(all) has all of it, which may be ten times as much as everything else together.
    type: list
    elements: str
    default: []
  networks:
    description:
      - Names of subnets. C(ansible_host) is the address that a machine has on the first of them on which it has one.
      - If it has none there, or nothing is given, it is the address with which it was deployed, else that of the interface it boots
        from. A machine without any address has no C(ansible_host).
      - The address of a machine in rescue is the one at which it lets people in there, as C(root).
    type: list
    elements: str
    default: []
  known_hosts:
    description:
      - A file to write, with the SSH host keys that machines reported when they were deployed, or when they went into rescue if
        they are there. A relative path starts at the inventory's directory.
      - SSH is told by C(ansible_ssh_common_args) to know hosts by this file and by no other, and to refuse those that are not in
        it. So the first connection is verified already.
    type: str
seealso:
  - module: metalwright.fleet.machine_info
"""

EXAMPLES = r"""
# deployed.machines.yml: the hosts that are deployed, SSH verified, grouped by what they are
plugin: metalwright.fleet.machines
url: http://127.0.0.1:5240
state: deployed
known_hosts: .known_hosts
compose:
  ansible_user: "'debian'"
fields: [tags, zone, deployed, memory_mib]
hardware: [system.serial]
keyed_groups:
  - key: metalwright_machine_tags
    prefix: tag
  - key: metalwright_machine_zone
    prefix: zone
  - key: metalwright_machine_deployed.image
    prefix: image
groups:
  large: metalwright_machine_memory_mib >= 65536

---
# machines in rescue, SSH verified
plugin: metalwright.fleet.machines
state: rescue
known_hosts: .rescue_hosts
compose:
  ansible_user: "'root'"

---
# everything in one pool, kept for ten minutes
plugin: metalwright.fleet.machines
pool: lab
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/metalwright
cache_timeout: 600
"""

import hashlib
import ipaddress
import json
import os
import re
import shlex
import tempfile

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.metalwright.fleet.plugins.module_utils._client import CONNECTION, ApiError, Client
from ansible_collections.metalwright.fleet.plugins.plugin_utils._remember import RememberingTemplar

ADDRESSED = ("state", "interfaces", "deployed", "rescue")
"""Fields that tell the address of a machine, beside its name."""

HOST_KEY = re.compile(r"([a-z0-9@.-]+) ([A-Za-z0-9+/]+=*)( |$)")
"""Type and key of a public host key. A machine reports its own, so nothing else of the line is believed."""


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The inventory plugin C(metalwright.fleet.machines)."""

    NAME = "metalwright.fleet.machines"

    def verify_file(self, path):
        """Return whether the file may be meant for this plugin."""
        return super().verify_file(path) and path.endswith(("machines.yml", "machines.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        """Fill the inventory. Raises AnsibleParserError when the controller can not be asked."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.templar = RememberingTemplar(self.templar)
        machines = self._cached(path, cache)
        known_hosts = self._known_hosts_path(path)
        self._add_all(machines, ssh_options(known_hosts) if known_hosts else None)
        if known_hosts:
            _write_known_hosts(known_hosts, machines, self.get_option("networks"))

    def _cached(self, path, cache):
        key = f"{self.get_cache_key(path)}_{self._digest()}"
        if cache and self.get_option("cache"):
            try:
                return self._cache[key]
            except KeyError:
                pass
        machines = self._fetch()
        if self.get_option("cache"):
            self._cache[key] = machines
        return machines

    def _digest(self):
        """Return a digest of what is asked, and whom: what is cached answers no other question."""
        question = [self.get_option("url"), self._filters(), self.get_option("tags"), list(self._asked())]
        return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]

    def _filters(self):
        return {name: self.get_option(name) for name in ("state", "pool", "zone", "allocation")}

    def _fetch(self):
        client = Client(**{name: self.get_option(name) for name in CONNECTION})
        try:
            return client.items("/machines", fields=",".join(self._asked()), tag=self.get_option("tags"), **self._filters())
        except ApiError as error:
            # Ansible tells causes one after the other, and this one says all there is to say
            raise AnsibleParserError(error.told()) from None

    def _asked(self):
        """Return the fields to ask for: what becomes a variable, and what the address and the host keys are found with."""
        keys = ("host_keys",) if self.get_option("known_hosts") else ()
        hardware = self.get_option("hardware")
        parts = ["hardware"] if "all" in hardware else [f"hardware.{part}" for part in hardware]
        return dict.fromkeys(("name", *self._fields(), *ADDRESSED, *keys, *parts))

    def _fields(self):
        known = self.option_definitions["fields"]["choices"]
        return self.get_option("fields") or known

    def _known_hosts_path(self, path):
        chosen = self.get_option("known_hosts")
        return os.path.join(os.path.dirname(os.path.abspath(path)), os.path.expanduser(chosen)) if chosen else None

    def _add_all(self, machines, ssh):
        names = {field: f"metalwright_machine_{field}" for field in self._fields()}
        if self.get_option("hardware"):
            names["hardware"] = "metalwright_machine_hardware"
        networks, strict = self.get_option("networks"), self.get_option("strict")
        compose, groups, keyed_groups = (self.get_option(name) for name in ("compose", "groups", "keyed_groups"))
        for machine in machines:
            host = self.inventory.add_host(machine["name"])
            variables = {variable: machine[field] for field, variable in names.items()}
            address = address_of(machine, networks)
            if address:
                variables["ansible_host"] = address
            if ssh:
                variables["ansible_ssh_common_args"] = ssh
            self._set(host, variables)
            if compose:
                self._set_composite_vars(compose, self.inventory.get_host(host).get_vars(), host, strict=strict)
            if groups or keyed_groups:
                known = self.inventory.get_host(host).get_vars()
                self._add_host_to_composed_groups(groups, known, host, strict=strict, fetch_hostvars=False)
                self._add_host_to_keyed_groups(keyed_groups, known, host, strict=strict, fetch_hostvars=False)

    def _set(self, host, variables):
        """Set the variables of a host; at once if no other source has set one, since their names need no check for each host."""
        there = self.inventory.hosts[host].vars
        if there.keys().isdisjoint(variables):
            there.update(variables)
            return
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)


def address_of(machine, networks=()):
    """Return the address of a machine, None if it has none.

    That of its rescue, on one of ``networks``, the one it was deployed with, or that of its boot interface: the first there is.
    """
    deployed = machine["deployed"] or {}
    interfaces = sorted(machine["interfaces"], key=lambda interface: not interface["boot"])
    on_networks = (each["address"] for network in networks for each in interfaces if each["subnet"] == network)
    candidates = (
        in_rescue(machine).get("address"),
        *on_networks,
        deployed.get("address"),
        *(each["address"] for each in interfaces),
    )
    return next((address for address in candidates if _is_address(address)), None)


def in_rescue(machine):
    """Return how a machine in rescue is reached; nothing if it is not there."""
    return machine["rescue"] or {} if machine["state"] == "rescue" else {}


def _is_address(text):
    """Whether it is an address, and not C(dhcp) or nothing. What follows a C(%) may be any text (RFC 4007), so it is none."""
    try:
        return bool(ipaddress.ip_address(text)) and "%" not in text
    except ValueError:
        return False


def ssh_options(known_hosts):
    """Return the options with which ssh(1) believes this file and nothing else."""
    file = known_hosts.replace("%", "%%")
    believed = shlex.quote(f'UserKnownHostsFile="{file}"')
    return f"-o {believed} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes"


def known_hosts_lines(machines, networks=()):
    """Return the lines of a known_hosts file (sshd(8)): each machine by address and by name, with its keys."""
    lines = []
    for machine in machines:
        names = ",".join(name for name in (address_of(machine, networks), machine["name"]) if name)
        told = in_rescue(machine)["host_keys"] if in_rescue(machine) else machine["host_keys"]
        keys = (HOST_KEY.match(key) for key in told)
        lines.extend(f"{names} {key[1]} {key[2]}\n" for key in keys if key)
    return lines


def _write_known_hosts(path, machines, networks):
    """Replace the file whole, so that an SSH that reads it meanwhile sees the old one or the new one."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False) as file:
        file.writelines(known_hosts_lines(machines, networks))
    os.replace(file.name, path)
