# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller installed by its role on a deployed machine: under systemd, hardened, behind nginx, and answering DHCP.

The tests follow one another.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_under_test import LabUnderTest, Recap

from metalwright.lab.spec import LabSpec, MachineSpec

CHECKOUT = Path(__file__).resolve().parents[2]
NODE = "node-1"
WHEELS = "/var/tmp/wheels"
CERTIFICATE = "/etc/ssl/controller"
ADDRESS = "10.99.0.1"
ROOM = {  # a network of its own, which is there after a reboot, too
    "50-boot.netdev": "[NetDev]\nName=boot\nKind=bridge\n",
    "50-boot.network": "[Match]\nName=boot\n[Link]\nRequiredForOnline=no\n"
    f"[Network]\nAddress={ADDRESS}/24\nConfigureWithoutCarrier=yes\n",
}
CLIENT = (
    "ip netns add client && ip link add end type veth peer name nic netns client"
    " && ip link set end master boot up && ip -n client link set nic up"
)
COMES_UP = "timeout 180 sh -c 'until systemctl -q is-active metalwright; do sleep 1; done'"
SETTINGS = {
    "node": {"listen": f"{ADDRESS}:5248", "url": f"http://{ADDRESS}:5248"},
    "tftp": {"listen": f"{ADDRESS}:69"},
    "dhcp": {"engine": "dnsmasq", "interface": "boot"},
}
ROLE: dict[str, Any] = {
    "controller_requirements": ["metalwright"],
    "controller_pip_arguments": f"--no-index --find-links {WHEELS}",
    # Of libvirt-python there is a wheel here; the agent's build would take an emulated machine too long.
    "controller_system_packages": ["ca-certificates", "dnsmasq-base", "libvirt0", "openssh-client", "python3-venv"],
    "controller_agent": False,
    "controller_settings": SETTINGS,
    "controller_health_timeout": 180,
    "controller_tls": True,
    "controller_tls_server_name": NODE,
    "controller_tls_certificate": f"{CERTIFICATE}.pem",
    "controller_tls_key": f"{CERTIFICATE}.key",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    under_test = LabUnderTest("installed", tmp_path_factory.mktemp("installed"))
    under_test.down()
    try:
        machine = MachineSpec(name=NODE, memory_mib=2048, disk_gib=8)
        under_test.up(LabSpec(name=under_test.name, machines=(machine,)))
        under_test.playbook("site", deploy={NODE: {"packages": ["busybox", "curl", "openssl", "python3-apt"]}})
        yield under_test
    finally:
        under_test.down()


def play(lab: LabUnderTest, tasks: list[dict[str, Any]], *, check: bool = True) -> Recap:
    """Run tasks as root on the machine."""
    path = lab.base / "play.yml"
    path.write_text(yaml.safe_dump([{"hosts": NODE, "become": True, "tasks": tasks}], sort_keys=False))
    done = lab.inside("ansible-playbook", str(path), check=False)
    recap = Recap(done.stdout + done.stderr, done.returncode)
    assert not check or (recap.status, recap.failed) == (0, 0), recap.output
    return recap


def install(lab: LabUnderTest, *, check: bool = True, **variables: Any) -> Recap:
    role = {"ansible.builtin.import_role": {"name": "metalwright.fleet.controller"}, "vars": ROLE | variables}
    return play(lab, [role], check=check)


def shell(lab: LabUnderTest, command: str) -> str:
    return lab.ansible(NODE, command)


def test_the_role_installs_it_once(lab: LabUnderTest) -> None:
    wheels = lab.base / "wheels"
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels))
    subprocess.run([*pip, "--constraint", str(CHECKOUT / "packaging/constraints.txt"), str(CHECKOUT)], check=True)
    with tarfile.open(lab.base / "wheels.tar", "w") as archive:
        archive.add(wheels, "wheels")
    kind = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    key = f"{kind} -subj /CN={NODE} -addext subjectAltName=DNS:{NODE} -out {CERTIFICATE}.pem -keyout {CERTIFICATE}.key"
    tasks = [
        {"ansible.builtin.unarchive": {"src": str(lab.base / "wheels.tar"), "dest": "/var/tmp"}},
        {"ansible.builtin.command": key},
        *({"ansible.builtin.copy": {"content": text, "dest": f"/etc/systemd/network/{name}"}} for name, text in ROOM.items()),
        {"ansible.builtin.command": "networkctl reload"},
    ]
    play(lab, tasks)
    assert install(lab).changed > 0
    again = install(lab)
    assert again.changed == 0, again.output


def test_it_is_a_service_with_what_it_needs_and_no_more(lab: LabUnderTest) -> None:
    assert shell(lab, "systemctl is-active metalwright nginx").split() == ["active", "active"]
    assert shell(lab, "systemctl is-enabled metalwright") == "enabled"
    assert set(shell(lab, "ps -o user:20= -C mw-admin,mw-node,mw-worker,dnsmasq").split()) == {"metalwright"}
    print("\n" + shell(lab, "systemctl status --no-pager metalwright; systemd-analyze security --no-pager metalwright | tail -1"))
    log = shell(lab, "journalctl --no-pager -u metalwright -p warning -o cat")
    assert "denied" not in log.lower() and "not permitted" not in log.lower(), log


def test_nginx_stands_before_it_and_dhcp_is_answered(lab: LabUnderTest) -> None:
    ask = f"curl -sS --cacert {CERTIFICATE}.pem --resolve {NODE}:443:127.0.0.1 https://{NODE}"
    assert shell(lab, f"{ask}/healthz")
    assert "401" in shell(lab, f"{ask}/api/v1/machines -o /dev/null -w '%{{http_code}}'")
    subnet = {
        "url": f"https://{NODE}",
        "ca_path": f"{CERTIFICATE}.pem",
        "token": "{{ (found.content | b64decode | regex_search('mw_[A-Za-z0-9_-]+')) }}",
        "name": "boot",
        "cidr": "10.99.0.0/24",
        "ranges": [{"kind": "dynamic", "start": "10.99.0.100", "end": "10.99.0.149"}],
    }
    tasks = [
        {"ansible.builtin.lineinfile": {"path": "/etc/hosts", "line": f"127.0.0.1 {NODE}", "insertbefore": "BOF"}},
        {"ansible.builtin.slurp": {"src": "/var/lib/metalwright/.config/metalwright/client.toml"}, "register": "found"},
        {"metalwright.fleet.subnet": subnet},
    ]
    play(lab, tasks)
    shell(lab, CLIENT)
    lease = shell(lab, "ip netns exec client busybox udhcpc -n -q -t 10 -i nic -s /bin/true 2>&1")
    assert "lease of 10.99.0.1" in lease
    print(f"\n{lease}")


def test_it_comes_back_when_it_is_killed_and_after_a_reboot(lab: LabUnderTest) -> None:
    shell(lab, f"systemctl kill --signal=SIGKILL --kill-whom=main metalwright; sleep 1; {COMES_UP}")
    print(f"\nreboot through the BMC: {lab.reboot_by_bmc(NODE):.0f} s")
    shell(lab, COMES_UP)
    assert shell(lab, "systemctl is-active metalwright nginx").split() == ["active", "active"]


def test_an_upgrade_that_fails_is_taken_back(lab: LabUnderTest) -> None:
    before = shell(lab, "readlink /opt/metalwright/current")
    broken = f"{WHEELS}/metalwright-0.1.1-py3-none-any.whl"
    spoil = (
        f"mkdir /var/tmp/spoiled && cd /var/tmp/spoiled && python3 -m zipfile -e {WHEELS}/metalwright-0.1.0-*.whl . && "
        "sed -i 's/^Version: .*/Version: 0.1.1/' metalwright-0.1.0.dist-info/METADATA && "
        "mv metalwright-0.1.0.dist-info metalwright-0.1.1.dist-info && "
        "sed -i 's/^metalwright-0.1.0/metalwright-0.1.1/' metalwright-0.1.1.dist-info/RECORD && "
        "echo 'raise SystemExit(\"this version does not start\")' >> metalwright/serve/supervisor.py && "
        f"python3 -m zipfile -c {broken} metalwright metalwright-0.1.1.dist-info"
    )
    play(lab, [{"ansible.builtin.shell": spoil}])
    failed = install(lab, check=False, controller_requirements=[broken], controller_health_timeout=20)
    assert (failed.status, "The former release and its database are back" in failed.output) == (2, True), failed.output
    assert shell(lab, "readlink /opt/metalwright/current") == before
    assert shell(lab, "systemctl is-active metalwright") == "active"
