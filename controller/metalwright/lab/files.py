# SPDX-License-Identifier: GPL-3.0-or-later
"""The files a lab writes for others: the controller's configuration, the environment of clients, the Ansible inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from metalwright.lab import netns
from metalwright.lab.spec import BMC_USER, IMAGE, NODE_PORT, PACKAGES_PORT, LabSpec, Places

ENVIRONMENT = """\
export METALWRIGHT_URL='{url}'
export METALWRIGHT_TOKEN='{token}'
"""


def write_configuration(spec: LabSpec, places: Places) -> None:
    """Write the controller's configuration: the lab's own, and on top of it the settings of ``spec``."""
    settings: dict[str, Any] = {
        "data_dir": str(places.data),
        "admin": {"listen": f"127.0.0.1:{spec.port}"},
        "node": {"listen": f"{spec.gateway}:{NODE_PORT}", "url": f"http://{spec.gateway}:{NODE_PORT}"},
        "dhcp": {"engine": "dnsmasq", "interface": netns.BRIDGE, "authoritative": True},
        "dns": {"domain": f"{spec.name}.metalwright.internal"},
        "tftp": {"listen": f"{spec.gateway}:69"},
        "deadlines": {"netboot": 180, "boot": 300},
        "package_cache": {"url": f"http://{spec.gateway}:{PACKAGES_PORT}"},
    }
    for name, value in spec.settings.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    sections = {name: value for name, value in settings.items() if isinstance(value, dict)}
    lines = ["# Written by metalwright lab.", *_toml({name: value for name, value in settings.items() if name not in sections})]
    for name, values in sections.items():
        lines += ["", f"[{name}]", *_toml(values)]
    places.config.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _toml(values: Mapping[str, Any]) -> list[str]:
    """Assignments; texts, numbers, truth values and lists of them are written in TOML as in JSON."""
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]


def write_environment(spec: LabSpec, places: Places, token: str) -> None:
    """Write what a shell needs to talk to the lab's controller."""
    places.env.touch(mode=0o600)
    places.env.write_text(ENVIRONMENT.format(url=spec.url, token=token), encoding="utf-8")


def read_environment(places: Places) -> dict[str, str]:
    """Return what ``write_environment`` wrote, nothing before that."""
    if not places.env.exists():
        return {}
    lines = places.env.read_text(encoding="utf-8").splitlines()
    pairs = (line.removeprefix("export ").partition("=") for line in lines)
    return {name: value.strip("'") for name, _, value in pairs}


def write_fleet(spec: LabSpec, places: Places) -> None:
    """Write the machines as the playbooks want them, the inventory of what becomes of them, and a key to enter them with."""
    if not places.key.exists():
        comment = f"metalwright-{spec.name}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(places.key)], check=True)
    places.machines.touch(mode=0o600)
    places.machines.write_text(yaml.safe_dump(_fleet(spec, places), sort_keys=False), encoding="utf-8")
    places.inventory.mkdir(exist_ok=True)
    inventory = {
        "plugin": "metalwright.fleet.machines",
        "state": ["deployed"],
        "known_hosts": str(places.root / "known_hosts"),
        "compose": {
            "ansible_user": "'debian'",
            "ansible_ssh_private_key_file": repr(str(places.key)),
            "ansible_python_interpreter": "'/usr/bin/python3'",
        },
        "keyed_groups": [{"key": "metalwright_firmware", "prefix": "firmware"}],
    }
    (places.inventory / "machines.machines.yml").write_text(yaml.safe_dump(inventory, sort_keys=False), encoding="utf-8")
    _link_collection(places)


def _fleet(spec: LabSpec, places: Places) -> dict[str, Any]:
    password = places.bmc_password.read_text(encoding="utf-8").strip()
    hosts = {
        machine.name: {
            "metalwright_macs": spec.macs(machine.name),
            "metalwright_firmware": machine.firmware,
            "metalwright_power": {
                "driver": "ipmi",
                "parameters": {"address": spec.bmc_address(machine.name), "username": BMC_USER, "password": password},
            },
        }
        for machine in spec.machines
    }
    key = places.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    return {"metalwright_machines": {"vars": {"metalwright_deploy": {"image": IMAGE, "ssh_keys": [key]}}, "hosts": hosts}}


def _link_collection(places: Places) -> None:
    """In a checkout, make its collection the one that Ansible finds inside the lab."""
    checkout = Path(__file__).parents[3]
    if (checkout / "galaxy.yml").exists():
        link = places.collections / "ansible_collections/metalwright/fleet"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(checkout)


def environment(places: Places) -> dict[str, str]:
    """Return the environment of commands inside the lab: controller, inventory, collection, and no proxy of the host's."""
    found = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    found |= read_environment(places)
    found["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    found["ANSIBLE_INVENTORY"] = str(places.inventory)
    if places.collections.exists():
        usual = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "~/.ansible/collections:/usr/share/ansible/collections")
        found["ANSIBLE_COLLECTIONS_PATH"] = f"{places.collections}:{usual}"
    return found
