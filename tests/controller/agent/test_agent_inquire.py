# SPDX-License-Identifier: GPL-3.0-or-later
"""What the disk of a system tells that was never heard of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from file_disks import file_disk

from metalwright.agent.disks import Disk
from metalwright.agent.errors import StepFailed
from metalwright.agent.inquire import verdict
from metalwright.agent.target import MOUNT_POINTS
from metalwright.agent.work import Work

MIB = 1 << 20
REPORTS = (
    "2026-11-21T10:00:01Z cannot reach 10.77.0.1:5248: Network is unreachable\n"
    "2026-11-21T10:00:09Z cannot reach 10.77.0.1:5248: No route to host\n"
)
Install = Callable[..., Disk]


@pytest.fixture
def install(tmp_path: Path, loop: Callable[..., Path]) -> Install:
    """Make a disk that is one ext4 with an installed system and these files in it."""

    def make(name: str = "disk", *, seed: bool = True, files: dict[str, str] | None = None) -> Disk:
        tree = tmp_path / f"{name}-tree"
        for path, content in {"/etc/os-release": "ID=debian\n", **(files or {})}.items():
            place = tree / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        (tree / "var/log").mkdir(parents=True, exist_ok=True)
        if seed:
            (tree / "var/lib/cloud/seed/nocloud").mkdir(parents=True)
        return formatted(name, tree, loop, tmp_path)

    return make


def formatted(name: str, tree: Path, loop: Callable[..., Path], tmp_path: Path) -> Disk:
    disk = file_disk(tmp_path / name, 16 * MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), disk.path], check=True, capture_output=True)
    device = loop(Path(disk.path))
    return disk._replace(path=str(device), name=device.name, size_bytes=16 * MIB)


def told(work: Work) -> StepFailed:
    found = verdict(work)
    assert not list(MOUNT_POINTS.glob("*")), "something is still mounted"
    return found


def test_a_system_that_never_started(install: Install, work_on: Callable[..., Work]) -> None:
    disk = install(files={"/var/log/bootstrap.log": "of the image\n", "/var/log/cloud-init.log": ""})
    found = told(work_on(disk))
    assert found.code == "installed_system_dead"
    assert found.message == f"the system on {disk.path} has never started: there is no log of cloud-init or of its reports on it"


def test_a_system_that_has_no_network(install: Install, work_on: Callable[..., Work]) -> None:
    files = {"/var/log/metalwright-report.log": REPORTS, "/var/log/cloud-init.log": "Cloud-init v. 22.4.2 running\n"}
    found = told(work_on(install(files=files)))
    assert found.code == "installed_no_network"
    assert found.message.endswith(
        "its reports did not get out: 2026-11-21T10:00:09Z cannot reach 10.77.0.1:5248: No route to host"
    )
    assert "==> /var/log/cloud-init.log <==\nCloud-init v. 22.4.2 running\n" in found.log_tail
    assert "Network is unreachable" in found.log_tail


def test_a_system_whose_cloud_init_hangs(install: Install, work_on: Callable[..., Work]) -> None:
    files = {
        "/var/log/cloud-init.log": "init\n" * 5000 + "handlers.py: config-runcmd \033[31mran\n",
        "/var/log/cloud-init-output.log": "Setting up nginx ...\n",
    }
    found = told(work_on(install(files=files)))
    assert found.code == "first_boot_silent"
    assert found.message.endswith("the last it logged: handlers.py: config-runcmd [31mran")
    assert found.log_tail.endswith("Setting up nginx ...")
    assert "==> /var/log/cloud-init.log <==" in found.log_tail
    assert len(found.log_tail) <= 8000


def test_of_several_systems_ours_counts(install: Install, work_on: Callable[..., Work], tmp_path: Path) -> None:
    old = install("old", seed=False, files={"/var/log/cloud-init.log": "years ago\n"})
    ours = install("ours", files={"/var/log/metalwright-report.log": REPORTS})
    empty = file_disk(tmp_path / "empty", MIB)
    assert told(work_on(empty, old, ours)).code == "installed_no_network"
    assert told(work_on(empty, old)).code == "first_boot_silent"


def test_a_system_whose_logs_are_on_a_file_system_of_their_own(
    install: Install, work_on: Callable[..., Work], loop: Callable[..., Path], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    (logs / "log").mkdir(parents=True)
    (logs / "log/cloud-init.log").write_text("waiting for the network\n")
    var = formatted("var", logs, loop, tmp_path)
    uuid = subprocess.run(["blkid", "-p", "-s", "UUID", "-o", "value", var.path], capture_output=True, text=True, check=True)
    fstab = f"# of the image\nUUID={uuid.stdout.strip()} /var ext4 defaults 0 2\nUUID=gone /var/log ext4 defaults 0 2\n"
    root = install(files={"/etc/fstab": fstab}, seed=False)
    found = told(work_on(root, partitions=[Path(root.path), Path(var.path)]))
    assert found.code == "first_boot_silent"
    assert "waiting for the network" in found.message


def test_a_log_that_leads_elsewhere_is_not_followed_out_of_the_system(
    install: Install, work_on: Callable[..., Work], tmp_path: Path, loop: Callable[..., Path]
) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/os-release").write_text("ID=debian\n")
    (tree / "var/log").mkdir(parents=True)
    (tree / "var/log/cloud-init.log").symlink_to("/etc/hostname")
    (tree / "var/log/metalwright-report.log").symlink_to("../../../../../etc/passwd")
    found = told(work_on(formatted("disk", tree, loop, tmp_path)))
    assert found.code == "installed_system_dead"


def test_a_disk_that_can_not_be_read_is_told(work_on: Callable[..., Work], tmp_path: Path, loop: Callable[..., Path]) -> None:
    disk = file_disk(tmp_path / "disk", MIB)
    found = told(work_on(disk._replace(path=str(loop(Path(disk.path))))))
    assert found.code == "installed_system_dead"
    assert "no file system of the image has /etc/os-release" in found.message
    assert "no disk that is not removable" in told(work_on()).message
