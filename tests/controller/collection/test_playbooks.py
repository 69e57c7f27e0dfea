# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks, as a user runs them, against a real controller."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from collection.rack import HOST_KEY, Rack
from serve.processes import until
from sqlalchemy import select

from metalwright.store.models import Operation

FLEET = """
metalwright_machines:
  vars:
    metalwright_subnets:
      - name: lab
        cidr: 10.0.0.0/24
        dns_servers: [10.0.0.1]
        ranges:
          - {kind: static, start: 10.0.0.10, end: 10.0.0.89}
          - {kind: dynamic, start: 10.0.0.100, end: 10.0.0.149}
    metalwright_images:
      - name: debian/12
        source: http://images.example.com/debian-12.raw
    metalwright_deploy:
      image: debian/12
      timezone: Europe/Paris
  hosts:
    node1:
      ansible_connection: ssh
      ansible_become: true
      metalwright_macs: ["52:54:00:00:00:01"]
      metalwright_power:
        driver: ipmi
        parameters: {address: 10.0.1.11, username: admin, password: hidden-word}
    node2:
      metalwright_macs: ["52:54:00:00:00:02", "52:54:00:00:01:02"]
      metalwright_firmware: uefi
      metalwright_tags: [ssd]
      metalwright_deploy:
        image: debian/12
        hostname: www
        address: 10.0.0.20
        user_data_file: files/www.yml
        manage_etc_hosts: true
        power_state: {delay: "+30", mode: poweroff, message: Bye Bye, timeout: 30, condition: true}
    node3:
      metalwright_macs: ["52:54:00:00:00:03"]
      metalwright_deploy: {}
"""


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "controller") as rack:
        yield rack


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ansible(tmp_path: Path, rack: Rack, collections: Path) -> Run:
    """Run one of Ansible's commands beside the fleet's inventory."""
    (tmp_path / "fleet.yml").write_text(FLEET)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/www.yml").write_text("#cloud-config\npackages: [nginx]\n")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_FORKS": "2",
        "ANSIBLE_DEPRECATION_WARNINGS": "true",
        "METALWRIGHT_URL": rack.url,
        "METALWRIGHT_TOKEN": rack.token,
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
    }

    def run(command: str, *arguments: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [command, "-i", "fleet.yml", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        print(done.stdout, done.stderr)
        assert (done.returncode == 0) is succeeds
        assert command == "ansible-inventory" or "hidden-word" not in done.stdout + done.stderr
        return done

    return run


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Changed tasks by host, of the recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)}


def get(rack: Rack, path: str) -> dict[str, object]:
    answer = requests.get(f"{rack.url}/api/v1{path}", headers={"Authorization": f"Bearer {rack.token}"}, timeout=10)
    answer.raise_for_status()
    return answer.json()


def tell(rack: Rack, action: str, **body: object) -> None:
    path = f"{rack.url}/api/v1/machines/{action}"
    requests.post(path, json=body, headers={"Authorization": f"Bearer {rack.token}"}, timeout=10).raise_for_status()


def states(rack: Rack) -> dict[str, str]:
    return {machine["name"]: machine["state"] for machine in get(rack, "/machines")["items"]}


def test_a_fleet_is_brought_up_once(ansible: Run, rack: Rack) -> None:
    plan = ansible("ansible-playbook", "metalwright.fleet.site", "--check", "--diff")
    assert changed(plan) == {"node1": 5, "node2": 3, "node3": 2}
    assert '+    "state": "deployed"' in plan.stdout
    assert get(rack, "/events")["events"] == []

    first = ansible("ansible-playbook", "metalwright.fleet.site")
    assert not first.stderr
    assert states(rack) == {"node1": "deployed", "node2": "deployed", "node3": "ready"}
    www = get(rack, "/machines/node2")
    assert www["deployed"]["hostname"] == "www"
    assert www["deployed"]["address"] == "10.0.0.20"
    assert www["deployed"]["options"]["manage_etc_hosts"] is True
    assert www["deployed"]["options"]["power_state"]["condition"] is True

    cursor = get(rack, "/events?limit=1000")["cursor"]
    again = ansible("ansible-playbook", "metalwright.fleet.site")
    assert changed(again) == {"node1": 0, "node2": 0, "node3": 0}
    checked = ansible("ansible-playbook", "metalwright.fleet.site", "--check", "--diff")
    assert changed(checked) == {"node1": 0, "node2": 0, "node3": 0}
    assert get(rack, f"/events?after={cursor}")["events"] == []


def test_what_has_changed_is_told_or_deployed_again(ansible: Run, rack: Rack) -> None:
    ansible("ansible-playbook", "metalwright.fleet.deploy", "-e", "target=node1", succeeds=False)  # there is no image yet
    ansible("ansible-playbook", "metalwright.fleet.site", "-e", "target=node1")
    other = ("-e", '{"metalwright_deploy": {"image": "debian/12", "timezone": "Asia/Tokyo"}}', "-e", "target=node1")

    told = ansible("ansible-playbook", "metalwright.fleet.deploy", *other, succeeds=False)
    assert "node1 is deployed, but not as wished: timezone differ" in told.stdout

    redeploy = (*other, "-e", "metalwright_on_drift=redeploy")
    plan = ansible("ansible-playbook", "metalwright.fleet.deploy", *redeploy, "--check", "--diff")
    assert changed(plan) == {"node1": 1}
    assert '-    "timezone": "Europe/Paris"' in plan.stdout
    assert '+    "timezone": "Asia/Tokyo"' in plan.stdout
    ansible("ansible-playbook", "metalwright.fleet.deploy", *redeploy)
    assert get(rack, "/machines/node1")["deployed"]["options"]["timezone"] == "Asia/Tokyo"
    assert changed(ansible("ansible-playbook", "metalwright.fleet.deploy", *redeploy)) == {"node1": 0}


def test_an_option_that_is_misspelt_is_refused(ansible: Run, rack: Rack) -> None:
    wrong = ("-e", '{"metalwright_deploy": {"image": "debian/12", "packges": ["htop"]}}')
    told = ansible("ansible-playbook", "metalwright.fleet.deploy", *wrong, succeeds=False)
    assert "metalwright_deploy of node1 has options that there are not: packges" in told.stdout
    assert states(rack) == {}


def test_machines_are_released_by_name_only(ansible: Run, rack: Rack) -> None:
    ansible("ansible-playbook", "metalwright.fleet.site", "-e", "target=node1,node3")
    told = ansible("ansible-playbook", "metalwright.fleet.release", succeeds=False)
    assert "Say which machines are to be wiped" in told.stdout
    assert states(rack)["node1"] == "deployed"

    plan = ansible("ansible-playbook", "metalwright.fleet.release", "-e", "target=node1", "--check", "--diff")
    assert changed(plan)["node1"] == 1
    assert states(rack)["node1"] == "deployed"
    ansible("ansible-playbook", "metalwright.fleet.release", "-e", "target=node1")
    assert states(rack) == {"node1": "ready", "node3": "ready"}
    assert changed(ansible("ansible-playbook", "metalwright.fleet.release", "-e", "target=node1"))["node1"] == 0


def test_a_machine_that_fails_says_why_and_the_others_go_on(ansible: Run, rack: Rack) -> None:
    mute = ansible(
        "ansible-playbook",
        "metalwright.fleet.site",
        "-e",
        '{"target": "node1"}',
        "-e",
        "metalwright_description=mute",
        succeeds=False,
    )
    assert "node1: commission failed in phase netboot: no answer from its BMC." in mute.stdout
    assert "hint: Check its address." in mute.stdout
    assert states(rack) == {"node1": "new"}


def test_no_playbook_wipes_what_was_adopted_or_uses_what_is_broken(ansible: Run, rack: Rack) -> None:
    ansible("ansible-playbook", "metalwright.fleet.enlist", "-e", "target=node1,node2")
    tell(rack, "node1/adopt", address="dhcp")
    tell(rack, "node2/mark-broken", note="fan 3 is dead")
    site = ansible("ansible-playbook", "metalwright.fleet.site", "-e", "metalwright_on_drift=redeploy", succeeds=False)
    assert "node1 was adopted with the system it runs" in site.stdout
    assert "node2 was marked broken: fan 3 is dead." in site.stdout
    assert "metalwright machine mark-fixed node2" in site.stdout
    assert states(rack) == {"node1": "deployed", "node2": "broken", "node3": "ready"}
    release = ("ansible-playbook", "metalwright.fleet.release", "-e", "target=node1", "-e", "metalwright_erase=full")
    assert "wipe_adopted=true" in ansible(*release, succeeds=False).stdout
    ansible(*release, "-e", "metalwright_wipe_adopted=true")
    assert states(rack)["node1"] == "ready"
    with rack.store.session() as session:
        released = session.scalars(select(Operation).where(Operation.kind == "release")).one()
        assert released.parameters["erase"] == "full"


def test_a_machine_in_rescue_goes_back_to_what_it_was_deployed_with(ansible: Run, rack: Rack) -> None:
    site = ("ansible-playbook", "metalwright.fleet.site", "-e", "target=node1")
    ansible(*site)
    tell(rack, "node1/rescue", ssh_keys=[HOST_KEY])
    until(lambda: states(rack)["node1"] == "rescue", "it is in rescue")
    assert changed(ansible(*site))["node1"] == 1
    assert states(rack)["node1"] == "deployed"
    assert changed(ansible(*site))["node1"] == 0


def test_a_run_that_was_interrupted_is_gone_on_with(ansible: Run, rack: Rack) -> None:
    ansible("ansible-playbook", "metalwright.fleet.enlist", "-e", "target=node1")
    rack.resting.set()
    deploy = ("ansible-playbook", "metalwright.fleet.deploy", "-e", "target=node1")
    given_up = ansible(*deploy, "-e", "metalwright_wait_timeout=1", succeeds=False)
    assert "node1: commission did not end within 1 s. It is running in phase netboot." in given_up.stdout
    rack.resting.clear()
    ansible(*deploy)
    assert states(rack) == {"node1": "deployed"}
    assert sorted(operation["kind"] for operation in get(rack, "/operations")["items"]) == ["commission", "deploy"]


def test_what_is_deployed_is_an_inventory(ansible: Run, rack: Rack, tmp_path: Path) -> None:
    ansible("ansible-playbook", "metalwright.fleet.site", "-e", "target=node2,node3")
    source = tmp_path / "deployed.machines.yml"
    source.write_text("plugin: metalwright.fleet.machines\nstate: deployed\nknown_hosts: known_hosts\nhardware: [cpu]\n")
    told = ansible("ansible-inventory", "-i", str(source), "--list").stdout
    listed = json.loads(told, object_hook=lambda value: value.get("__ansible_unsafe", value))["_meta"]["hostvars"]
    assert "ansible_host" not in listed["node3"]
    assert listed["node2"]["ansible_host"] == "10.0.0.20"
    assert listed["node2"]["metalwright_machine_hardware"]["cpu"]["threads"] == 4
    assert "StrictHostKeyChecking=yes" in listed["node2"]["ansible_ssh_common_args"]
    key = HOST_KEY.rpartition(" ")[0]
    assert f"10.0.0.20,node2 {key}\n" in (tmp_path / "known_hosts").read_text()

    again = ansible("ansible-playbook", "-i", str(source), "metalwright.fleet.site", "-e", "target=node2,node3")
    assert changed(again) == {"node2": 0, "node3": 0}  # what is known of a machine is no wish
    ansible(
        "ansible",
        "-i",
        str(source),
        "node2",
        "-c",
        "local",
        "-m",
        "ansible.builtin.debug",
        "-a",
        "msg={{ metalwright_machine_hardware.cpu.model }}",
    )
    assert not Path("/tmp/metalwright-was-fooled").exists()
