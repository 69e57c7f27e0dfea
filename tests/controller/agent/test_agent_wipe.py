# SPDX-License-Identifier: GPL-3.0-or-later
"""After a wipe nobody takes the disk for a used one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from file_disks import file_disk

from metalwright.agent.abort import Abort
from metalwright.agent.disks import Disk
from metalwright.agent.errors import StepFailed
from metalwright.agent.wipe import clean, wipe_disks
from metalwright.agent.work import Work

MIB = 1 << 20
Partitioned = Callable[[str], Disk]
STEP = {"name": "wipe", "mode": "quick", "disks": "all"}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with a GPT and an ext4 in its only partition, from 1 MiB to 33 MiB."""
    disk = file_disk(tmp_path_factory.mktemp("wipe") / "disk", 40 * MIB)
    subprocess.run(["sgdisk", "--new=1:2048:+32M", disk.path], check=True, capture_output=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-E", f"offset={MIB}", disk.path, "32m"], check=True, capture_output=True)
    return Path(disk.path)


@pytest.fixture
def partitioned(template: Path, tmp_path: Path) -> Callable[[str], Disk]:
    """Make copies of that disk."""

    def make(name: str) -> Disk:
        shutil.copyfile(template, tmp_path / name)
        return file_disk(tmp_path / name, 40 * MIB)

    return make


def signatures(path: str | Path) -> str:
    return subprocess.run(["wipefs", "--no-act", "--parsable", str(path)], check=True, capture_output=True, text=True).stdout


def test_signatures_and_both_tables_are_gone(
    partitioned: Partitioned, work_on: Callable[..., Work], loop: Callable[..., Path]
) -> None:
    disk = partitioned("disk")
    partition = loop(Path(disk.path), MIB, 32 * MIB)
    assert "gpt" in signatures(disk.path)
    assert "ext4" in signatures(partition)
    result = wipe_disks(STEP, work_on(disk, partitions=[partition]))
    assert [(done["id"], done["method"]) for done in result["disks"]] == [(disk.id, "quick")]
    assert signatures(disk.path) == signatures(partition) == ""
    content = Path(disk.path).read_bytes()
    assert not any(content[:MIB])
    assert not any(content[-MIB:])
    looked = subprocess.run(["sgdisk", "--print", disk.path], capture_output=True, text=True)
    assert "Creating new GPT entries" in looked.stdout, "sgdisk found something to resurrect"


def test_a_removable_disk_keeps_what_it_has(partitioned: Partitioned, work_on: Callable[..., Work]) -> None:
    kept, wiped = partitioned("stick")._replace(removable=True), partitioned("disk")
    result = wipe_disks(STEP, work_on(kept, wiped))
    assert [done["id"] for done in result["disks"]] == [wiped.id]
    assert "gpt" in signatures(kept.path)
    assert signatures(wiped.path) == ""


def test_one_disk_that_fails_does_not_save_the_others(
    tmp_path: Path, partitioned: Partitioned, work_on: Callable[..., Work]
) -> None:
    gone = file_disk(tmp_path / "gone", MIB)
    Path(gone.path).unlink()
    disk = partitioned("disk")
    with pytest.raises(StepFailed) as caught:
        wipe_disks(STEP, work_on(gone, disk))
    assert caught.value.code == "wipe_failed"
    assert gone.path in caught.value.message
    assert disk.path not in caught.value.message
    assert signatures(disk.path) == ""


def test_a_disk_in_use_is_not_wiped_under_its_user(tmp_path: Path, loop: Callable[..., Path]) -> None:
    disk = file_disk(tmp_path / "disk", 16 * MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk.path], check=True)
    device = loop(Path(disk.path))
    where = tmp_path / "mounted"
    where.mkdir()
    subprocess.run(["mount", str(device), str(where)], check=True)
    try:
        with pytest.raises(OSError, match="busy"):
            clean(disk._replace(path=str(device), name=device.name), [], Abort())
    finally:
        subprocess.run(["umount", str(where)], check=True)


def test_a_disk_smaller_than_its_ends_is_wiped_whole(tmp_path: Path) -> None:
    disk = file_disk(tmp_path / "disk", 64 << 10)
    Path(disk.path).write_bytes(os.urandom(64 << 10))
    clean(disk, [], Abort())
    assert Path(disk.path).read_bytes() == bytes(64 << 10)


@pytest.mark.parametrize("change", [{"mode": "shred"}, {"disks": "sda"}, {"mode": None}])
def test_what_this_agent_can_not_wipe_is_refused(
    change: dict[str, object], partitioned: Partitioned, work_on: Callable[..., Work]
) -> None:
    disk = partitioned("disk")
    with pytest.raises(StepFailed) as caught:
        wipe_disks(STEP | change, work_on(disk))
    assert caught.value.code == "agent_error"
    assert "gpt" in signatures(disk.path)
