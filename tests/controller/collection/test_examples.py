# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of every module are run, one after the other, as they stand in its documentation."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from collection.rack import HARDWARE, HOST_KEY, Rack
from sqlalchemy import select

from metalwright.store.models import Image, Interface, IpRange, Machine, ScriptRun, Subnet

CHECKOUT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py"))
HYPERVISOR = "qemu+ssh://root@hypervisor.example.com/system"
"""What the example of ``chassis`` has where here is the one of the rack."""

FORGET = {
    "name": "Forget what earlier examples were about",
    "metalwright.fleet.machine": {"name": "{{ item }}", "state": "ready"},
    "loop": ["node1", "node3"],
}
STORAGE = [
    {"name": "Have a VLAN for storage", "metalwright.fleet.vlan": {"name": "storage", "vid": 42, "mtu": 9000}},
    {"name": "Have its subnet", "metalwright.fleet.subnet": {"name": "storage", "cidr": "10.42.0.0/24", "vlan": "storage"}},
]
BEFORE: dict[str, list[dict[str, Any]]] = {
    "machine_interface": STORAGE,
    "machine": [
        FORGET,
        {**FORGET, "metalwright.fleet.machine": {"name": "{{ item }}", "state": "absent"}},
        {"name": "Leave one subnet for them", "metalwright.fleet.subnet": {"name": "storage", "state": "absent"}},
    ],
}
"""Tasks without which the examples of a module would not be about what they say."""
LAST = ("machine",)
"""Modules whose examples leave nothing for those of others."""


def blocks(path: Path) -> dict[str, str]:
    """The documentation blocks of a plugin."""
    found: dict[str, str] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant):
            found[node.targets[0].id] = str(node.value.value)
    return found


def fleet(rack: Rack) -> None:
    """Have the image, the subnet, the machines and the run of a script that examples speak of."""
    plug = {f"{verb}_url": f"{rack.bmc.url}/node1" for verb in ("on", "off", "query")}
    with rack.store.write() as session:
        session.add(Image(name="debian/12", status="ready", format="raw.zst", firmware=["uefi"], content_sha256="a" * 64))
        ranges = [IpRange(kind="static", start="10.0.0.10", end="10.0.0.89")]
        subnet = Subnet(name="provisioning", cidr="10.0.0.0/24", ranges=ranges)
        session.add(subnet)
        for number in (1, 2, 3, 4):
            session.add(ready(f"node{number}", f"52:54:00:00:00:0{number}", subnet, memory_mib=8192))
        for number in (1, 2, 3, 4):
            session.add(ready(f"big{number}", f"52:54:00:00:01:0{number}", subnet, memory_mib=1 << 17, tags=["ssd"]))
        session.flush()
        node1 = session.scalars(select(Machine).where(Machine.name == "node1")).one()
        node1.interfaces[0].name = "enp1s0"
        node1.interfaces.append(Interface(mac="52:54:00:00:02:01", name="enp2s0", position=1))
        node1.power_driver, node1.power_parameters = "webhook", plug
        run = {"script_name": "memory", "kind": "test", "status": "failed", "timeout_seconds": 60}
        session.add(ScriptRun(machine_id=node1.id, source="#!/bin/sh\n", output="bad", **run))


def ready(name: str, mac: str, subnet: Subnet, **more: Any) -> Machine:
    """A machine that was commissioned."""
    interfaces = [Interface(mac=mac, boot=True, subnet=subnet)]
    known = {"hardware": HARDWARE, "firmware": "uefi", "cpu_count": 4, "disk_gib": 20}
    return Machine(name=name, state="ready", interfaces=interfaces, **known, **more)


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "controller") as rack:
        fleet(rack)
        yield rack


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the examples are run: with the files that they read."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id_ed25519.pub").write_text(HOST_KEY)
    (home / "files").mkdir()
    (home / "files/database-user-data.yml").write_text("#cloud-config\npackages: [postgresql]\n")
    return home


def run(rack: Rack, home: Path, collections: Path, *command: str) -> str:
    """Run one of Ansible's commands there, which must go well and warn of nothing."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_PIPELINING": "true",
        "METALWRIGHT_URL": rack.url,
        "METALWRIGHT_TOKEN": rack.token,
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
    }
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert done.stderr == ""
    return done.stdout


def test_the_examples_of_every_module_run(rack: Rack, home: Path, collections: Path) -> None:
    plays = []
    for module in sorted(MODULES, key=lambda name: (name in LAST, name)):
        examples = blocks(CHECKOUT / f"plugins/modules/{module}.py")["EXAMPLES"].replace(HYPERVISOR, rack.hypervisor)
        tasks = yaml.safe_load(examples)
        assert any(f"metalwright.fleet.{module}" in task for task in tasks)
        plays.append({"name": module, "hosts": "localhost", "gather_facts": False, "tasks": [*BEFORE.get(module, []), *tasks]})
    (home / "examples.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    secrets = {"bmc_password": "hidden-word", "chat_secret": "another-hidden-word"}
    python = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    told = run(
        rack,
        home,
        collections,
        "ansible-playbook",
        "-v",
        "-i",
        "localhost,",
        "-e",
        json.dumps({**secrets, **python}),
        "examples.yml",
    )
    assert "failed=0" in told
    assert "hidden-word" not in told
    assert (home / ".metalwright-monitoring").read_text().strip() not in told


def test_the_examples_of_the_inventory_are_inventories(rack: Rack, home: Path, collections: Path) -> None:
    sources = []
    examples = blocks(CHECKOUT / "plugins/inventory/machines.py")["EXAMPLES"].replace("http://127.0.0.1:5240", rack.url)
    for number, example in enumerate(examples.split("\n---\n")):
        (home / f"{number}.machines.yml").write_text(example)
        sources += ["-i", f"{number}.machines.yml"]
    listed = json.loads(run(rack, home, collections, "ansible-inventory", *sources, "--list"))
    assert len(sources) > 2
    assert "_meta" in listed
