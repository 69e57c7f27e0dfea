# SPDX-License-Identifier: GPL-3.0-or-later
"""After a wipe nobody takes the disk for a used one."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from file_disks import file_disk

from metalwright.agent.abort import Abort
from metalwright.agent.disks import Disk
from metalwright.agent.errors import Aborted, StepFailed
from metalwright.agent.pace import Pace, Stall
from metalwright.agent.wipe import BLOCK_BYTES, clean, together, wipe_disks
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
    tmp_path: Path, partitioned: Partitioned, work_on: Callable[..., Work], printed: io.StringIO
) -> None:
    gone = file_disk(tmp_path / "gone", MIB)
    Path(gone.path).unlink()
    disk = partitioned("disk")
    with pytest.raises(StepFailed) as caught:
        wipe_disks(STEP, work_on(gone, disk))
    assert caught.value.code == "wipe_failed"
    assert gone.path in caught.value.message
    assert disk.path not in caught.value.message
    assert f"wipe: {disk.path}: done by quick, after" in printed.getvalue()
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


MARKER = b"the secret of the last tenant"


def marked(path: Path, size: int) -> Disk:
    """A disk full of what nobody may read afterwards."""
    disk = file_disk(path, size)
    path.write_bytes((MARKER * (size // len(MARKER) + 1))[:size])
    return disk


@pytest.mark.parametrize("size", [BLOCK_BYTES * 2, BLOCK_BYTES * 2 + 512, 3 * MIB, 4096 + 17])
@pytest.mark.parametrize("mode", ["full", "secure"])
def test_a_full_erase_leaves_no_byte(mode: str, size: int, tmp_path: Path, work_on: Callable[..., Work]) -> None:
    """A plain file has no erase of its own, so secure is full."""
    disk = marked(tmp_path / "disk", size)
    result = wipe_disks(STEP | {"mode": mode}, work_on(disk))
    assert [(done["id"], done["method"]) for done in result["disks"]] == [(disk.id, "full")]
    assert result["disks"][0]["seconds"] >= 0
    assert Path(disk.path).read_bytes() == bytes(size)


def test_a_full_erase_of_a_device_goes_past_the_page_cache(
    tmp_path: Path, partitioned: Partitioned, work_on: Callable[..., Work], loop: Callable[..., Path]
) -> None:
    backing = partitioned("disk")
    with Path(backing.path).open("r+b") as stream:
        stream.seek(35 * MIB)
        stream.write(MARKER)
    device = loop(Path(backing.path))
    other = loop(Path(marked(tmp_path / "other", 8 * MIB).path))
    disks = [backing._replace(path=str(path), name=path.name, id=path.name) for path in (device, other)]
    result = wipe_disks(STEP | {"mode": "full"}, work_on(disks[0], disks[1]._replace(size_bytes=8 * MIB)))
    assert [done["id"] for done in result["disks"]] == [device.name, other.name]
    assert not any(Path(backing.path).read_bytes())
    assert not any((tmp_path / "other").read_bytes())


def test_progress_counts_the_bytes_of_all_disks(tmp_path: Path, work_on: Callable[..., Work]) -> None:
    told: list[tuple[float, int, int]] = []

    def report(step: str, percent: float = 0, message: str = "", done_bytes: int = 0, total_bytes: int = 0) -> None:
        told.append((percent, done_bytes, total_bytes))
        assert step == "wipe"
        assert "full" in message

    disks = [marked(tmp_path / "one", 24 * MIB), marked(tmp_path / "two", 8 * MIB)]
    wipe_disks(STEP | {"mode": "full"}, work_on(*disks)._replace(report=report), tick=0.001)
    assert {total for _, _, total in told} == {32 * MIB}
    assert all(percent == pytest.approx(100 * done / total) for percent, done, total in told)
    done = [count for _, count, _ in told]
    assert done == sorted(done)
    assert done[0] == 0
    assert len(set(done)) > 2, "nothing was told on the way"


class Clock:
    """Counts seconds as it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("mode", ["quick", "full"])
def test_a_disk_that_hangs_is_noticed(
    mode: str, tmp_path: Path, work_on: Callable[..., Work], abort: Abort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first program that touches it does not come back."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/wipefs"
    program.write_text(f'#!/bin/sh\ncase $* in */hung) exec sleep 600 ;; *) exec {shutil.which("wipefs")} "$@" ;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    hung, healthy = file_disk(tmp_path / "hung", 40 * MIB), file_disk(tmp_path / "healthy", 4 * MIB)
    clock = Clock()
    reports = 0

    def report(step: str, percent: float = 0, message: str = "", done_bytes: int = 0, total_bytes: int = 0) -> None:
        nonlocal reports
        reports += 1
        if reports > 20:
            clock.now += 100

    with pytest.raises(StepFailed) as caught:
        step = STEP | {"mode": mode, "stall_seconds": 600}
        wipe_disks(step, work_on(hung, healthy)._replace(report=report), clock, tick=0.01)
    abort.ask("lets the program go")
    assert caught.value.code == "wipe_stalled"
    assert re.search(rf"nothing has moved on {hung.path} for \d+ s, after 0 bytes of", caught.value.message)
    assert clock.now >= 1600


def test_a_disk_that_moves_is_waited_for() -> None:
    clock = Clock()
    pace = Pace({"a": 1000, "b": 10}, 600, clock)
    pace.begin("a")
    for done in range(0, 1000, 100):
        clock.now += 599
        assert pace.stall() is None
        pace.moved("a", done)
    assert pace.total() == (900, 1010)
    clock.now += 601
    assert pace.stall() == Stall("a", 601, 900, 1000)
    pace.be_patient("a", 7200)
    clock.now += 7199
    assert pace.stall() is None
    clock.now += 2
    assert pace.stall() is not None
    pace.end("a")
    assert pace.stall() is None
    assert pace.total() == (1000, 1010)


def test_a_write_error_names_disk_and_place(tmp_path: Path, work_on: Callable[..., Work], loop: Callable[..., Path]) -> None:
    """A device whose backing file ends before it does: what lies behind can not be written."""
    backing = tmp_path / "backing"
    limited = tmp_path / "limited"
    limited.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(limited)], check=True)
    try:
        backing = limited / "backing"
        with backing.open("wb") as stream:
            stream.truncate(32 * MIB)
        device = loop(backing)
        disk = Disk(device.name, str(device), "serial-1", "1", "", "A small disk", 32 * MIB, False, "other", False)
        with pytest.raises(StepFailed) as caught:
            wipe_disks(STEP | {"mode": "full"}, work_on(disk))
        assert caught.value.code == "wipe_failed"
        assert re.fullmatch(rf"{device}: .*(Input/output error|No space left on device).* at byte \d+", caught.value.message)
    finally:
        subprocess.run(["umount", "--lazy", str(limited)], check=True)


def test_an_abort_stops_an_erase(tmp_path: Path, work_on: Callable[..., Work], abort: Abort) -> None:
    disk = marked(tmp_path / "disk", 64 * MIB)

    def report(step: str, percent: float = 0, message: str = "", done_bytes: int = 0, total_bytes: int = 0) -> None:
        if done_bytes:
            abort.ask("enough")

    with pytest.raises(Aborted, match="enough"):
        wipe_disks(STEP | {"mode": "full"}, work_on(disk)._replace(report=report), tick=0.001)


def test_namespaces_of_one_drive_are_not_wiped_at_once(tmp_path: Path) -> None:
    disks = [file_disk(tmp_path / name, 512) for name in ("nvme0n1", "nvme0n2", "nvme1n1", "sda", "sdb")]
    assert [[disk.name for disk in group] for group in together(disks)] == [
        ["nvme0n1", "nvme0n2"],
        ["nvme1n1"],
        ["sda"],
        ["sdb"],
    ]
