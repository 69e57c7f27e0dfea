# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, shown: empty machines become hosts that Ansible reaches."""

from __future__ import annotations

import subprocess
import time

import requests
from rich.console import Console
from rich.table import Table

from metalwright.errors import MetalwrightError
from metalwright.lab import files, netns
from metalwright.lab.spec import LabSpec, Places


def demo(spec: LabSpec, places: Places, console: Console) -> None:
    """Deploy every machine of a lab that is up with the playbook ``site``, reach them with Ansible, and say what came of it.

    Raises ``MetalwrightError("demo_failed")`` that names the command that failed.
    """
    started = time.monotonic()
    for command in (
        ["ansible-playbook", "-i", str(places.machines), "metalwright.fleet.site"],
        ["ansible", "all", "-m", "ansible.builtin.ping"],
    ):
        console.print(f"\n[bold]$ {' '.join(command)}[/bold]", highlight=False, soft_wrap=True)
        if subprocess.run(netns.command(spec, places, command), env=files.environment(places), check=False).returncode:
            raise MetalwrightError(
                "demo_failed", f"'{' '.join(command)}' failed.", "'metalwright timeline MACHINE' shows how far it got."
            )
    _table(spec, places, console)
    console.print(f"\nEmpty disks to Ansible hosts in {time.monotonic() - started:.0f} s. Controller: {spec.url}\n\nTry next:")
    inside = f"{spec.enter} --"
    for hint in (
        f"{inside} ansible all -a 'cat /etc/os-release'",
        f"{inside} metalwright timeline {spec.machines[0].name}",
        f"{inside} ansible-playbook -i {places.machines} metalwright.fleet.site     # changed=0",
        f"{inside} ansible-playbook -i {places.machines} metalwright.fleet.release -e target={spec.machines[0].name}",
        f"{spec.enter}",
        f"metalwright lab down --name {spec.name}",
    ):
        console.print(f"  {hint}", highlight=False, soft_wrap=True)


def _table(spec: LabSpec, places: Places, console: Console) -> None:
    token = files.read_environment(places)["METALWRIGHT_TOKEN"]
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{spec.url}/api/v1/machines", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    answer.raise_for_status()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("MACHINE", "STATE", "FIRMWARE", "IMAGE", "ADDRESS"):
        table.add_column(column)
    for machine in answer.json()["items"]:
        deployed = machine["deployed"] or {}
        table.add_row(machine["name"], machine["state"], machine["firmware"], deployed.get("image"), deployed.get("address"))
    console.print()
    console.print(table)
