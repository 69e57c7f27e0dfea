# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles, run for real on this host, in a place of their own: installed, again, upgraded, and back when that fails."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from collection.wheels import wheel

from metalwright.config import load

CHECKOUT = Path(__file__).resolve().parents[3]
BROKEN = {
    "metalwright/serve/data.py": """

def prepare(settings: Settings) -> Store:
    import sqlite3
    with sqlite3.connect(settings.data_dir / "metalwright.db") as database:
        database.execute("DELETE FROM api_token")
    raise Unavailable("database_refused", "This version can not migrate the database.")
"""
}
"""A version whose migration spoils the database and then fails."""

Role = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def role(tmp_path: Path, collections: Path) -> Role:
    """Run a role of the collection on this host."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
    }

    def run(
        name: str, *flags: str, succeeds: bool = True, then: str = "", path: str = "", **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "environment": {"PATH": path or environment["PATH"]},
            "vars": {"ansible_python_interpreter": "/usr/bin/python3", **variables},
            "tasks": [
                {"name": "The role", "ansible.builtin.import_role": {"name": f"metalwright.fleet.{name}"}},
                {"name": "After it", "ansible.builtin.debug": {"msg": then}},
            ],
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        command = ["ansible-playbook", "-i", "localhost,", "-c", "local", "play.yml", *flags]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        assert (done.returncode == 0) is succeeds
        return done

    return run


def changed(done: subprocess.CompletedProcess[str]) -> int:
    recap = re.search(r"changed=(\d+)", done.stdout)
    assert recap is not None
    return int(recap[1])


@pytest.fixture
def controller(tmp_path: Path) -> dict[str, Any]:
    """Variables by which the role keeps to a place of its own."""
    return {
        "controller_requirements": [str(wheel(tmp_path, "0.1.0"))],
        "controller_pip_arguments": "--no-index --no-deps",
        "controller_python": sys.executable,
        "controller_system_packages": [],
        "controller_agent": False,  # make lab builds it, by the same command
        "controller_home": str(tmp_path / "opt"),
        "controller_user": "root",
        "controller_create_user": False,
        "controller_data_dir": str(tmp_path / "data"),
        "controller_config_path": str(tmp_path / "etc/metalwright.toml"),
        "controller_service_manager": "none",
        "controller_settings": {"admin": {"listen": "127.0.0.1:5240"}, "limits": {"installs": 3}},
    }


def tokens(controller: dict[str, Any]) -> list[str]:
    with sqlite3.connect(f"{controller['controller_data_dir']}/metalwright.db") as database:
        return [name for (name,) in database.execute("SELECT name FROM api_token")]


def version(controller: dict[str, Any]) -> str:
    command = [f"{controller['controller_home']}/current/bin/metalwright", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_controller_is_installed_once_upgraded_and_put_back(role: Role, controller: dict[str, Any], tmp_path: Path) -> None:
    assert changed(role("controller", "--check", "--diff", **controller)) > 0
    assert not Path(controller["controller_home"]).exists()
    role("controller", **controller)
    assert tokens(controller) == ["admin"]
    config = Path(controller["controller_config_path"])
    assert (config.stat().st_mode & 0o777, config.read_text().count("installs = 3")) == (0o640, 1)
    assert changed(role("controller", **controller)) == 0

    first = Path(controller["controller_home"], "current").readlink()
    settings = {**controller["controller_settings"], "limits": {"installs": 4}}
    nowhere = {**controller, "controller_requirements": ["metalwright==99"], "controller_settings": settings}
    assert "metalwright==99" in role("controller", succeeds=False, **nowhere).stdout
    assert "installs = 3" in config.read_text()
    broken = {**controller, "controller_requirements": [str(wheel(tmp_path, "0.2.0", BROKEN))], "controller_settings": settings}
    failed = role("controller", succeeds=False, **broken)
    assert 'it failed at "Make its database, or migrate it"' in failed.stdout
    assert "The former release, its settings and its database are back" in failed.stdout
    assert (config.stat().st_mode & 0o777, config.read_text().count("installs = 3")) == (0o640, 1)
    assert Path(controller["controller_home"], "current").readlink() == first
    assert tokens(controller) == ["admin"]
    newer = {"metalwright/__init__.py": "\n# new\n"}
    role("controller", **{**controller, "controller_requirements": [str(wheel(tmp_path, "0.3.0", newer))]})
    assert Path(controller["controller_home"], "current").readlink() != first
    assert tokens(controller) == ["admin"]
    assert version(controller).startswith("metalwright, version")


def test_options_are_checked_before_anything_is_done(role: Role, controller: dict[str, Any]) -> None:
    assert "controller_tls needs" in role("controller", succeeds=False, **controller, controller_tls=True).stdout
    wrong = {**controller, "controller_service_manager": "upstart"}
    assert "upstart" in role("controller", succeeds=False, **wrong).stdout
    assert not Path(controller["controller_home"]).exists()


def render(template: str, path: Path, variables: dict[str, Any]) -> None:
    """Write what a template of the controller's role comes to."""
    source = CHECKOUT / f"roles/controller/templates/{template}.j2"
    task = {"ansible.builtin.template": {"src": str(source), "dest": str(path), "mode": "0644"}}
    play = path.with_suffix(".yml")
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    command = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(play), "-e", json.dumps(variables)]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(path.parent), "LC_ALL": "C.UTF-8"}
    subprocess.run(command, cwd=path.parent, env=environment, check=True)


@pytest.mark.parametrize(
    ("settings", "capabilities"),
    [
        ({}, ""),
        ({"tftp": {"listen": "10.0.0.1:69"}}, "CAP_NET_BIND_SERVICE"),
        (
            {"tftp": {"listen": "10.0.0.1:69"}, "dhcp": {"engine": "dnsmasq", "interface": "eth1"}},
            "CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_NET_RAW",
        ),
        ({"dhcp": {"engine": "kea+bind", "interface": "eth1"}}, "CAP_NET_BIND_SERVICE CAP_NET_RAW"),
    ],
)
def test_the_service_may_do_what_its_settings_need_and_no_more(
    tmp_path: Path, settings: dict[str, Any], capabilities: str
) -> None:
    variables = {**yaml.safe_load((CHECKOUT / "roles/controller/defaults/main.yml").read_text()), "controller_settings": settings}
    program = tmp_path / "opt/current/bin/metalwright"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    unit = tmp_path / "metalwright.service"
    variables |= {"controller_home": str(tmp_path / "opt"), "controller_user": "root", "controller_data_dir": str(tmp_path)}
    render("metalwright.service", unit, variables)
    assert f"\nCapabilityBoundingSet={capabilities}\n" in unit.read_text()

    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert "metalwright.service" not in verified.stderr, verified.stderr
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout


LAB = """#!/bin/sh
echo "$*" >> {place}/calls
case $2 in
status) test -e {place}/there -a ! -e {place}/broken ;;
up) touch {place}/there; cat {place}/shown ;;
down) test -e {place}/there || echo "There is no lab ci."; rm -f {place}/there {place}/broken ;;
esac
"""
"""Stands for the command that needs minutes and virtual machines; make e2e runs that one."""


def test_a_lab_is_made_once_and_removed_once(role: Role, tmp_path: Path) -> None:
    command = tmp_path / "metalwright"
    command.write_text(LAB.format(place=tmp_path))
    command.chmod(0o755)
    paths = {"directory": str(tmp_path), "env": str(tmp_path / "env"), "machines_file": str(tmp_path / "machines.yml")}
    (tmp_path / "shown").write_text(json.dumps({"url": "http://127.0.0.1:5249", **paths}))
    (tmp_path / "env").write_text("export METALWRIGHT_URL='http://127.0.0.1:5249'\nexport METALWRIGHT_TOKEN='mw_secret'\n")
    lab = {"lab_command": str(command), "lab_name": "ci", "lab_port": 5249, "lab_spec": {"machines": [{"name": "web-1"}]}}
    assert changed(role("lab", "--check", **lab)) == 1
    made = role(
        "lab", **lab, then="at {{ lab_access.url }} with {{ lab_access.token | length }} characters: {{ lab_access.fleet }}"
    )
    assert f"at http://127.0.0.1:5249 with 9 characters: {tmp_path}/machines.yml" in made.stdout
    assert changed(made) == 1
    assert changed(role("lab", **lab)) == 0
    (tmp_path / "broken").touch()
    assert changed(role("lab", **lab, lab_state="down")) == 1
    assert not (tmp_path / "there").exists()
    assert changed(role("lab", **lab, lab_state="down")) == 0
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "lab status --name ci --json"
    assert sum(call.startswith("lab up --name ci --port 5249 --json --spec ") for call in calls) == 2
    assert sum(call == "lab down --name ci" for call in calls) == 2


SYSTEMCTL = """#!/bin/sh
case $1 in
show) echo ActiveState=active; echo LoadState=masked ;;
*) echo "$*" >> {place}/calls ;;
esac
"""
"""Stands for systemd, which is not in every container that runs tests; it says that every service runs."""


def test_network_services_are_installed_and_left_to_the_controller(role: Role, tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text(SYSTEMCTL.format(place=tmp_path))
    (tmp_path / "systemctl").chmod(0o755)
    (tmp_path / "apparmor/local").mkdir(parents=True)
    (tmp_path / "units").mkdir()
    services = {
        "network_services_engine": "kea+bind",
        "network_services_interface": "eth1",
        "network_services_dhcp": {"lease_seconds": 600},
        "network_services_dns": {"forwarders": ["192.0.2.1"]},
        "network_services_packages": [],
        "network_services_unit_dir": str(tmp_path / "units"),
        "network_services_apparmor_dir": str(tmp_path / "apparmor"),
        "path": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    assert changed(role("network_services", "--check", **services)) == 3
    assert list((tmp_path / "units").iterdir()) == []
    told = "TOLD {{ network_services_settings | to_json }}"
    first = role("network_services", then=told, **services)
    units = ["kea-dhcp4-server.service", "kea-dhcp6-server.service", "named.service", "radvd.service"]
    assert sorted((path.name, str(path.readlink())) for path in (tmp_path / "units").iterdir()) == [
        (unit, "/dev/null") for unit in units
    ]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [f"stop {unit}" for unit in units] == [call for call in calls if call.startswith("stop")]
    assert calls[-1] == "reload apparmor.service"
    assert "/var/lib/metalwright/bind/** rwk,\n" in (tmp_path / "apparmor/local/usr.sbin.named").read_text()
    assert changed(role("network_services", **services)) == 0
    assert (tmp_path / "calls").read_text().splitlines() == calls
    wrong = {**services, "network_services_engine": "dnsmasq", "network_services_hot_standby": {"role": "primary"}}
    assert "network_services_hot_standby needs" in role("network_services", succeeds=False, **wrong).stdout
    assert "network_services_interface" in role("network_services", succeeds=False, network_services_engine="dnsmasq").stdout

    line = next(line for line in first.stdout.splitlines() if "TOLD" in line)
    settings = json.loads(json.loads(line.partition(":")[2]).removeprefix("TOLD "))
    variables = {"controller_settings": {"node": {"url": "http://10.0.0.1:5248"}, "dhcp": {"authoritative": True}}}
    variables |= {"network_services_settings": settings, "controller_data_dir": str(tmp_path), "controller_database_url": ""}
    config = tmp_path / "metalwright.toml"
    render("metalwright.toml", config, variables)
    read = load(config, {})
    assert (read.dhcp.engine, read.dhcp.interface, read.dhcp.lease_seconds) == ("kea+bind", "eth1", 600)
    assert (read.dhcp.authoritative, read.dns.forwarders) == (True, ["192.0.2.1"])
