# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines in batches: a canary first, a stop where one fails, and a second run that does only what is left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from collection.rack import HARDWARE, HOST_KEY, Rack
from sqlalchemy import select, update

from metalwright.store.models import Event, Image, Interface, IpRange, Machine, Operation, Subnet

BATCHES = '{"metalwright_serial": [1, 3, 26]}'
NAMES = [f"node{number:02}" for number in range(1, 31)]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    """Thirty machines that were commissioned, and two images."""
    with Rack(tmp_path / "controller") as rack:
        with rack.store.write() as session:
            ranges = [IpRange(kind="static", start="10.0.0.10", end="10.0.0.89")]
            session.add(Subnet(name="lab", cidr="10.0.0.0/24", ranges=ranges, dhcp=True))
            for number, name in enumerate(NAMES):
                machine = Machine(name=name, state="ready", hardware=HARDWARE, firmware="uefi")
                machine.interfaces = [Interface(mac=f"52:54:00:00:00:{number:02x}", boot=True)]
                session.add(machine)
            for name in ("debian/12", "debian/13"):
                session.add(Image(name=name, status="ready", content_sha256=name[-1] * 64, image_bytes=1, firmware=["uefi"]))
        yield rack


@pytest.fixture
def play(tmp_path: Path, rack: Rack, collections: Path) -> Run:
    """Run a playbook of the collection on the thirty."""
    hosts: dict[str, Any] = dict.fromkeys(NAMES)
    deploy = {"image": "debian/12", "ssh_keys": [HOST_KEY]}
    fleet = {"metalwright_machines": {"hosts": hosts, "vars": {"ansible_connection": "local", "metalwright_deploy": deploy}}}
    (tmp_path / "fleet.yml").write_text(yaml.safe_dump(fleet))
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_FORKS": "2",
        "ANSIBLE_PIPELINING": "true",
        "METALWRIGHT_URL": rack.url,
        "METALWRIGHT_TOKEN": rack.token,
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
    }

    def run(playbook: str, *more: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        extra = [word for each in more for word in ("-e", each)]
        command = ["ansible-playbook", "-i", "fleet.yml", f"metalwright.fleet.{playbook}", *extra]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        assert (done.returncode == 0) is succeeds
        return done

    return run


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Changed tasks by host, of the recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)}


def states(rack: Rack) -> dict[str, str]:
    with rack.store.session() as session:
        return dict(session.execute(select(Machine.name, Machine.state).order_by(Machine.name)).all())


def deploys(rack: Rack) -> Counter[str]:
    """How often each machine was told to deploy."""
    with rack.store.session() as session:
        statement = select(Machine.name).join(Operation, Operation.machine_id == Machine.id).where(Operation.kind == "deploy")
        return Counter(session.scalars(statement))


def describe(rack: Rack, name: str, description: str) -> None:
    with rack.store.write() as session:
        session.execute(update(Machine).where(Machine.name == name).values(description=description))


def test_a_rollout_of_thirty_stops_where_one_fails_and_goes_on_from_there(play: Run, rack: Rack) -> None:
    describe(rack, "node04", "mute")
    first = play("rollout", BATCHES, succeeds=False)
    assert [name for name, state in states(rack).items() if state == "deployed"] == ["node01", "node02", "node03"]
    assert sum(deploys(rack).values()) == 4
    why = 'node04 failed at "Wait until it is done": node04: deploy failed in phase netboot: no answer from its BMC.'
    assert why in " ".join(first.stdout.replace("\\", "").split())
    assert f"Not touched yet: {', '.join(NAMES[4:])}." in " ".join(first.stdout.split())
    begun = first.stdout.index("changed: [node01]")
    assert begun < first.stdout.index("PLAY [", begun) < first.stdout.index("changed: [node02]")  # the canary is through first

    describe(rack, "node04", "")
    second = play("rollout", BATCHES)
    assert set(states(rack).values()) == {"deployed"}
    assert deploys(rack) == {name: 2 if name == "node04" else 1 for name in NAMES}
    assert [name for name, count in changed(second).items() if not count] == ["node01", "node02", "node03"]


def test_an_upgrade_drains_wipes_and_verifies_one_after_the_other(play: Run, rack: Rack, tmp_path: Path) -> None:
    three = "target=node01,node02,node03"
    play("rollout", three, "metalwright_serial=100%")
    say = "---\n- name: Say it\n  ansible.builtin.shell: echo {what} {{{{ inventory_hostname }}}} >> {log}\n"
    for what in ("drain", "verify"):
        (tmp_path / f"{what}.yml").write_text(say.format(what=what, log=tmp_path / "log"))
    hooks = [f"metalwright_{what}_tasks={tmp_path / what}.yml" for what in ("drain", "verify")]
    upgrade = (three, "metalwright_image=debian/13", "metalwright_serial=1", *hooks)

    play("upgrade_image", "metalwright_image=debian/13", succeeds=False)  # which machines?
    describe(rack, "node02", "mute")
    stopped = play("upgrade_image", *upgrade, succeeds=False)
    assert "Not touched yet: node03." in " ".join(stopped.stdout.split())
    describe(rack, "node02", "")
    play("upgrade_image", *upgrade)
    assert (tmp_path / "log").read_text().split("\n") == [
        *("drain node01", "verify node01"),
        "drain node02",
        *("verify node01", "drain node02", "verify node02", "drain node03", "verify node03", ""),
    ]
    with rack.store.session() as session:
        images = [machine.deployed["image"] for machine in session.scalars(select(Machine)) if machine.deployed]
    assert images == ["debian/13"] * 3


def test_machines_are_taken_into_rescue_by_name_only(play: Run, rack: Rack) -> None:
    assert "Say which machines are to boot into rescue" in play("rescue", succeeds=False).stdout
    play("rescue", "target=node01")
    assert Counter(states(rack).values()) == {"ready": 29, "rescue": 1}
    play("rescue", "target=node01", "metalwright_rescue_state=normal")
    assert set(states(rack).values()) == {"ready"}
    with rack.store.session() as session:
        assert session.scalars(select(Event).where(Event.kind == "operation.failed")).all() == []


def test_a_deploy_that_failed_is_tried_once_more_and_then_the_machine_is_broken(play: Run, rack: Rack) -> None:
    describe(rack, "node01", "mute")
    play("deploy", "target=node01", succeeds=False)
    play("mend", "target=node01", succeeds=False)
    assert deploys(rack) == {"node01": 2}
    with rack.store.write() as session:
        last = session.scalars(select(Operation).where(Operation.kind == "deploy").order_by(Operation.created_at)).all()[-1]
        last.failure = {**(last.failure or {}), "message": "its agent said {{ 6 * 7 }}"}
    play("mend", "target=node01", f"metalwright_url={rack.url}/")
    with rack.store.session() as session:
        machine = session.scalars(select(Machine).where(Machine.name == "node01")).one()
    assert (machine.state, machine.note) == ("broken", "Deployed twice in vain: its agent said {{ 6 * 7 }}")
