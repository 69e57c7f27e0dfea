# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on real parts: bare VMs become Ansible hosts and go back to empty. The tests follow one another."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from lab_under_test import LabUnderTest, wait_for

BIOS, OTHER, UEFI = "node-1", "node-2", "node-3"
ALL = (BIOS, OTHER, UEFI)

USER_DATA = """\
#cloud-config
timezone: America/Los_Angeles
packages: [htop, tree, net-tools]
package_update: true
package_upgrade: true
manage_etc_hosts: false
power_state: {delay: "+30", mode: poweroff, message: Bye Bye, timeout: 30, condition: True}
"""
DEPLOY: dict[str, dict[str, Any]] = {BIOS: {"user_data": USER_DATA}, OTHER: {"manage_etc_hosts": True}}
MARK = "192.0.2.7 edited-by-hand"


def test_a_plan_of_unknown_machines_touches_nothing(lab: LabUnderTest) -> None:
    before = lab.api("GET", "/events?after=latest")["cursor"]
    lab.playbook("site", "--check", "--diff", deploy=DEPLOY)
    assert lab.api("GET", "/machines")["items"] == []
    assert lab.api("GET", "/events?after=latest")["cursor"] == before


def test_the_site_playbook_turns_empty_machines_into_hosts(lab: LabUnderTest) -> None:
    began = time.monotonic()
    recap = lab.playbook("site", deploy=DEPLOY)
    print(f"\nsite: {time.monotonic() - began:.1f} s for three machines")
    assert recap.changed > 0
    assert {name: lab.machine(name)["state"] for name in ALL} == dict.fromkeys(ALL, "deployed")
    assert {name: lab.machine(name)["firmware"] for name in ALL} == {BIOS: "bios", OTHER: "bios", UEFI: "uefi"}


@pytest.mark.parametrize("playbook", ["enlist", "commission", "deploy", "site"])
def test_a_second_run_changes_nothing(lab: LabUnderTest, playbook: str) -> None:
    assert lab.playbook(playbook, deploy=DEPLOY).changed == 0


def test_every_machine_answers_with_its_host_key_verified(lab: LabUnderTest) -> None:
    pinged = lab.inside("ansible", "all", "-m", "ansible.builtin.ping").stdout
    assert pinged.count("SUCCESS") == 3
    told = lab.inside("ansible-inventory", "--list").stdout
    listed = json.loads(told, object_hook=lambda found: found.get("__ansible_unsafe", found))["_meta"]["hostvars"]
    for name in ALL:
        assert "StrictHostKeyChecking=yes" in listed[name]["ansible_ssh_common_args"]
        first, last = lab.spec.static_range
        assert ip_address(first) <= ip_address(listed[name]["ansible_host"]) <= ip_address(last)
        assert lab.machine(name)["host_keys"]


def test_names_are_answered_forward_and_reverse(lab: LabUnderTest) -> None:
    for name in ALL:
        address = lab.machine(name)["interfaces"][0]["address"]
        full = f"{name}.{lab.name}.metalwright.internal"
        assert lab.inside("dig", "+short", f"@{lab.spec.gateway}", full).stdout.strip() == address
        assert lab.inside("dig", "+short", f"@{lab.spec.gateway}", "-x", address).stdout.strip() == f"{full}."


def test_the_timeline_tells_where_all_the_time_went(lab: LabUnderTest) -> None:
    told = lab.api("GET", f"/machines/{UEFI}/timeline")
    names = [step["name"] for step in told["steps"]]
    for expected in ("power.netboot", "boot.dhcp", "boot.loader", "boot.script", "boot.kernel", "agent.hello", "agent.step"):
        assert expected in names, names
    assert names.count("cloudinit.stage") >= 4
    assert sum(step["seconds"] for step in told["steps"]) == pytest.approx(told["total_seconds"], abs=0.05)


def test_user_data_is_delivered_verbatim_and_done(lab: LabUnderTest) -> None:
    assert lab.ansible(BIOS, "cat /var/lib/cloud/instance/user-data.txt").strip() == USER_DATA.strip()
    assert "MODE=poweroff" in lab.ansible(BIOS, "cat /run/systemd/shutdown/scheduled")
    for name in (BIOS, OTHER):
        lab.ansible(name, f"grep -q edited-by-hand /etc/hosts || echo '{MARK}' >> /etc/hosts")
    assert_user_data_holds(lab)


def test_no_machine_has_a_way_out(lab: LabUnderTest) -> None:
    for name in ALL:
        answer = lab.ansible(name, "timeout 3 bash -c '</dev/tcp/192.0.2.1/80' 2>/dev/null && echo out || echo in")
        assert answer.endswith("in")


def test_a_reboot_through_the_bmc_boots_the_disk(lab: LabUnderTest) -> None:
    """Network is first in the boot order of every machine of the lab; ipmitool knows nothing of us."""
    began = lab.api("GET", "/events?after=latest")["cursor"]
    before = {name: lab.boot_id(name) for name in ALL}
    for name in ALL:
        lab.ansible(name, "sync")
        lab.ipmitool(name, "chassis", "power", "reset")
    for name in ALL:
        wait_for(f"{name} to boot anew", lambda name=name: lab.boot_id(name) not in ("", before[name]), 600)
        assert (lab.machine(name)["state"], lab.machine(name)["operation"]) == ("deployed", None)
    kinds = [event["kind"] for event in lab.api("GET", f"/events?limit=1000&after={began}")["events"]]
    assert "agent.hello" not in kinds


def test_after_the_reboot_what_was_asked_for_is_still_true(lab: LabUnderTest) -> None:
    assert_user_data_holds(lab)
    assert MARK in lab.ansible(BIOS, "cat /etc/hosts")
    assert MARK not in lab.ansible(OTHER, "cat /etc/hosts")


def assert_user_data_holds(lab: LabUnderTest) -> None:
    zone = lab.ansible(BIOS, "readlink -f /etc/localtime")
    traces = (
        "ls -l --full-time /etc/localtime /etc/timezone; journalctl --list-boots; tail -5 /var/log/dpkg.log; dmesg | grep EXT4"
    )
    assert zone.endswith("America/Los_Angeles"), f"{zone}: {lab.ansible(BIOS, traces)}"
    assert lab.ansible(BIOS, "dpkg-query -W -f='${db:Status-Status} ' htop tree net-tools") == "installed installed installed"


def test_release_wipes_and_turns_off(lab: LabUnderTest) -> None:
    """Two quickly; of the third a full erase leaves no byte, and in particular none of what its system has written."""
    secret = os.urandom(16).hex()
    lab.ansible(UEFI, f"yes {secret} | head -c 1M > /root/secret && sync")
    assert any(secret.encode() in data for data in written(lab, UEFI))
    erase = {"metalwright_erase": f"{{{{ 'full' if inventory_hostname == '{UEFI}' else 'quick' }}}}"}
    assert lab.playbook("release", "-e", f"target={','.join(ALL)}", "-e", json.dumps(erase)).changed > 0
    for name in ALL:
        machine = lab.machine(name)
        assert (machine["state"], machine["power"]["state"], machine["deployed"]) == ("ready", "off", None)
        assert lab.ipmitool(name, "chassis", "power", "status") == "Chassis Power is off"
        with lab.places.disk(name).open("rb") as disk:
            assert disk.read(1 << 20).count(0) == 1 << 20
            disk.seek(-(1 << 20), 2)
            assert disk.read().count(0) == 1 << 20
    assert all(data.count(0) == len(data) for data in written(lab, UEFI))
    assert lab.playbook("release", "-e", f"target={','.join(ALL)}").changed == 0


def written(lab: LabUnderTest, machine: str) -> Iterator[bytes]:
    """Everything of a machine's disk that is not a hole in the file behind it, which reads as zeros (lseek(2), SEEK_DATA)."""
    with lab.places.disk(machine).open("rb", buffering=0) as disk:
        end = 0
        while True:
            try:
                begin = os.lseek(disk.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                assert error.errno == errno.ENXIO  # there is no more
                return
            end = os.lseek(disk.fileno(), begin, os.SEEK_HOLE)
            for offset in range(begin, end, 4 << 20):
                yield os.pread(disk.fileno(), min(4 << 20, end - offset), offset)


def test_check_mode_shows_the_plan_and_changes_nothing(lab: LabUnderTest) -> None:
    before = lab.api("GET", "/events?after=latest")["cursor"]
    recap = lab.playbook("deploy", "--check", "--diff", deploy=DEPLOY)
    assert recap.changed > 0
    assert "deployed" in recap.output
    assert lab.api("GET", "/events?after=latest")["cursor"] == before
    assert lab.machine(BIOS)["state"] == "ready"


def test_a_wrong_bmc_password_is_named_and_leaves_the_machine_ready(lab: LabUnderTest) -> None:
    right = lab.fleet["metalwright_machines"]["hosts"][BIOS]["metalwright_power"]
    wrong = {**right, "parameters": {**right["parameters"], "password": "wrong"}}
    lab.api("PATCH", f"/machines/{BIOS}", {"power": wrong})
    operation = lab.api("POST", f"/machines/{BIOS}/deploy", {"image": "debian/12"})["operation"]
    ended = lab.api("GET", f"/operations/{operation['id']}?wait=30")
    assert (ended["state"], ended["failure"]["code"]) == ("failed", "bmc_auth_failed")
    assert lab.machine(BIOS)["state"] == "ready"
    lab.api("PATCH", f"/machines/{BIOS}", {"power": right})


def test_an_aborted_installation_is_deployed_again_straight_away(lab: LabUnderTest) -> None:
    operation = lab.api("POST", f"/machines/{OTHER}/deploy", {"image": "debian/12"})["operation"]
    wait_for("the installation", lambda: lab.api("GET", f"/operations/{operation['id']}")["phase"] == "install", 180)
    busy = lab.api("POST", f"/machines/{OTHER}/release", {}, status=409)
    assert busy["details"]["operation"] == operation["id"]
    lab.api("POST", f"/operations/{operation['id']}/abort", {})
    assert lab.machine(OTHER)["state"] == "failed"


class Controller:
    """The controller's processes, as a killer sees them."""

    TARGETS = ("mw-admin", "mw-node", "mw-worker", "mw-tftp", "dnsmasq", "tree")

    def __init__(self, lab: LabUnderTest) -> None:
        self.config = str(lab.places.config)

    def supervisor(self) -> int | None:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            parent = self._parent(entry)
            if b"serve" in words and self.config.encode() in words and parent and b"serve" not in self._words(parent):
                return int(entry.name)
        return None

    def kill(self, target: str) -> bool:
        supervisor = self.supervisor()
        if supervisor is None:
            return False
        family = self._family(supervisor)
        whole = [supervisor, *family]
        victims = whole if target == "tree" else [pid for pid in family if self._name(pid).startswith(target)]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(victims)

    def _family(self, pid: int) -> list[int]:
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        return [found for child in map(int, children) for found in (child, *self._family(child))]

    @staticmethod
    def _name(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""

    @staticmethod
    def _parent(entry: Path) -> int | None:
        try:
            found = re.search(r"^PPid:\s+(\d+)", (entry / "status").read_text(), re.MULTILINE)
        except OSError:
            return None
        return int(found[1]) if found else None

    @staticmethod
    def _words(pid: int) -> list[bytes]:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return []


def test_every_deploy_finishes_whatever_is_killed(lab: LabUnderTest) -> None:
    """Each process of the controller and the whole of it, ten times each, at random moments of three simultaneous deploys."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"\nseed {seed}")
    names = {BIOS: "web-1", OTHER: "web-2", UEFI: "web-3"}
    wished = lab.fleet["metalwright_machines"]["vars"]["metalwright_deploy"]
    operations = {
        name: lab.api("POST", f"/machines/{name}/deploy", {**wished, "hostname": hostname})["operation"]["id"]
        for name, hostname in names.items()
    }
    controller = Controller(lab)
    kills = [target for target in Controller.TARGETS for _ in range(10)]
    chance.shuffle(kills)
    began = time.monotonic()
    for target in kills:
        time.sleep(chance.uniform(0.5, 4.5))
        wait_for(f"{target} to be killed", lambda target=target: controller.kill(target), 60)
    print(f"{len(kills)} kills in {time.monotonic() - began:.0f} s")
    for name, operation in operations.items():
        ended = wait_for(f"the end of {name}'s deploy", lambda operation=operation: over(lab, operation), 1200)
        assert ended["state"] == "succeeded", story(lab, ended)
    print(f"deployed after {time.monotonic() - began:.0f} s")
    assert {lab.machine(name)["state"] for name in ALL} == {"deployed"}
    assert lab.inside("ansible", "all", "-m", "ansible.builtin.ping").stdout.count("SUCCESS") == 3
    for name, hostname in names.items():
        assert lab.ansible(name, "hostname") == hostname


def story(lab: LabUnderTest, operation: dict[str, Any]) -> str:
    """What an operation failed of and what happened before, for who reads a failed test."""
    events = lab.api("GET", f"/events?limit=1000&operation={operation['id']}")["events"]
    told = [f"{event['at']} {event['kind']}: {event['message']}" for event in events]
    return "\n".join([json.dumps(operation["failure"]), *told])


def over(lab: LabUnderTest, operation: str) -> dict[str, Any] | None:
    found: dict[str, Any] = lab.api("GET", f"/operations/{operation}")
    return found if found["state"] in ("succeeded", "failed", "aborted") else None
