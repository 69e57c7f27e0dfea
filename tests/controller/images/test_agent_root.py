# SPDX-License-Identifier: GPL-3.0-or-later
"""The files the agent's root is made with: shell that its shell reads, data that is installed with the package."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from metalwright.images import agent_build

DATA = Path(agent_build.__file__).parent / "agent_root"


@pytest.mark.parametrize("script", sorted(path.name for path in DATA.glob("*.sh")))
def test_busybox_can_read_the_script(script: str) -> None:
    subprocess.run(["busybox", "sh", "-n", DATA / script], check=True)


def test_all_data_is_part_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    assert [path.name for path in DATA.iterdir() if not any(path.match(pattern) for pattern in patterns)] == []


def test_a_lease_is_put_into_force(tmp_path: Path) -> None:
    """The script busybox's udhcpc calls, in a network of its own with a real interface."""
    script = f"""
        set -e
        mount -t tmpfs tmpfs /etc
        ip link add boot0 type veth peer name other0
        ip link set other0 up
        ip link set boot0 up
        export interface=boot0 ip=10.77.0.10 mask=24 router="10.77.0.1 10.77.0.2" dns="10.77.0.1 10.77.0.3" domain=lab.internal
        sh {DATA}/dhcp.sh bound
        sh {DATA}/dhcp.sh renew
        ip -br -4 address show dev boot0 | tr @ " "
        ip route show default
        cat /etc/resolv.conf
        sh {DATA}/dhcp.sh deconfig
        ip -br -4 address show dev boot0 | tr @ " "
    """
    command = ["unshare", "--map-root-user", "--mount", "--net", "--uts", "sh", "-c", script]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert [line.split() for line in answer.splitlines()] == [
        ["boot0", "other0", "UP", "10.77.0.10/24"],
        ["default", "via", "10.77.0.1", "dev", "boot0"],
        ["search", "lab.internal"],
        ["nameserver", "10.77.0.1"],
        ["nameserver", "10.77.0.3"],
    ]
