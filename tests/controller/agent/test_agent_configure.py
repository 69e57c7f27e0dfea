# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed and the job's files on a real file system, and no way out of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controller_side import TOKEN, ControllerSide
from file_disks import file_disk

from metalwright.agent.configure import SEED, SEED_NAMES, configure
from metalwright.agent.disks import Disk
from metalwright.agent.errors import StepFailed
from metalwright.agent.target import MOUNT_POINTS, resolve, unmount_leftovers
from metalwright.agent.work import Work

MIB = 1 << 20
DISK_SIZE, IMAGE_SIZE, ROOT_OFFSET, ROOT_SIZE = 96 * MIB, 64 * MIB, 16 * MIB, 40 * MIB


def installed_system(tmp_path: Path) -> Path:
    """The files of a tiny system that has cloud-init, and links that try to lead out of it."""
    tree = tmp_path / "tree"
    for name in ("etc/cloud/cloud.cfg.d", "usr/lib", "usr/bin", "var"):
        (tree / name).mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text("ID=debian\n")
    (tree / "etc/os-release").symlink_to("../usr/lib/os-release")
    (tree / "usr/bin/cloud-init").write_text("#!/bin/sh\n")
    (tree / "lib").symlink_to("usr/lib")
    (tree / "srv").symlink_to(tmp_path)
    (tree / "etc/up").symlink_to("../../../../../../../../../../etc")
    (tree / "etc/passwd").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("untouched")
    return tree


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with nothing but a GPT: a BIOS boot partition and one for the root."""
    disk = file_disk(tmp_path_factory.mktemp("configure") / "table", IMAGE_SIZE)
    options = ["--new=1:2048:+1M", "--typecode=1:ef02", f"--new=2:{ROOT_OFFSET // 512}:+{ROOT_SIZE // MIB}M"]
    subprocess.run(["sgdisk", *options, disk.path], check=True, capture_output=True)
    return Path(disk.path)


@pytest.fixture
def disk(tmp_path: Path, table: Path) -> Disk:
    return written(tmp_path, table, installed_system(tmp_path))


def written(tmp_path: Path, table: Path, tree: Path) -> Disk:
    """A disk larger than the image written to it, which has the files of ``tree`` in an ext4."""
    shutil.copyfile(table, tmp_path / "disk")
    disk = file_disk(tmp_path / "disk", IMAGE_SIZE)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), "-E", f"offset={ROOT_OFFSET}", disk.path, f"{ROOT_SIZE // MIB}m"],
        check=True,
        capture_output=True,
    )
    with Path(disk.path).open("r+b") as stream:
        stream.write(b"\xeb\x63")
        stream.truncate(DISK_SIZE)
    return disk


@pytest.fixture
def parts(disk: Disk, loop: Callable[..., Path]) -> list[Path]:
    return [loop(Path(disk.path), MIB, MIB), loop(Path(disk.path), ROOT_OFFSET, ROOT_SIZE)]


@contextmanager
def look(device: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(["mount", "-o", "ro", str(device), str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def step(side: ControllerSide, *files: dict[str, Any]) -> dict[str, Any]:
    for name in SEED_NAMES:
        side.files[f"/seed/{TOKEN}/{name}"] = b"" if name == "vendor-data" else f"{name} of the machine: \xfc\n".encode()
    return {"name": "configure", "seed_url": f"{side.address}/seed/{TOKEN}/", "files": list(files), "efi_label": "debian"}


def test_seed_and_files_are_there_for_root_only(
    side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work], tmp_path: Path
) -> None:
    files = [
        {"path": "/etc/cloud/cloud.cfg.d/90_metalwright.cfg", "mode": 0o600, "content": "datasource_list: [NoCloud, None]\n"},
        {"path": "/var/lib/metalwright/report.py", "mode": "0755", "content": "print('\xfc')\n"},
        {"path": "/lib/systemd/system/x.service", "mode": 0o644, "content": "[Unit]\n"},
        {"path": "/etc/systemd/system/multi-user.target.wants/x.service", "symlink_to": "/lib/systemd/system/x.service"},
    ]
    result = configure(step(side, *files), work_on(disk, partitions=parts), disk)
    assert result == {"root": str(parts[1]), "efi_entry": None}
    with look(parts[1], tmp_path / "mnt") as root:
        seed = root / SEED.removeprefix("/")
        assert sorted(path.name for path in seed.iterdir()) == sorted(SEED_NAMES)
        assert {path.stat().st_mode & 0o7777 for path in seed.iterdir()} == {0o600}
        assert seed.stat().st_mode & 0o7777 == 0o700
        assert (root / "var/lib/cloud").stat().st_mode & 0o7777 == 0o755
        assert (seed / "user-data").read_bytes() == side.files[f"/seed/{TOKEN}/user-data"]
        assert (seed / "vendor-data").read_bytes() == b""
        config = root / "etc/cloud/cloud.cfg.d/90_metalwright.cfg"
        assert (config.read_text(), config.stat().st_mode & 0o7777) == (files[0]["content"], 0o600)
        program = root / "var/lib/metalwright/report.py"
        assert (program.read_text(), program.stat().st_mode & 0o7777, program.stat().st_uid) == (files[1]["content"], 0o755, 0)
        assert (root / "usr/lib/systemd/system/x.service").read_text() == "[Unit]\n"
        link = root / "etc/systemd/system/multi-user.target.wants/x.service"
        assert str(link.readlink()) == "/lib/systemd/system/x.service"


def test_the_second_table_moves_to_the_disks_end(
    side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work]
) -> None:
    configure(step(side), work_on(disk, partitions=parts), disk)
    content = Path(disk.path).read_bytes()
    assert content[DISK_SIZE - 512 :][:8] == b"EFI PART"
    verified = subprocess.run(["sgdisk", "--verify", disk.path], check=True, capture_output=True, text=True).stdout
    assert "No problems found" in verified


def test_doing_it_again_changes_nothing(
    side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work]
) -> None:
    files = [{"path": "/etc/link", "symlink_to": "x"}, {"path": "/etc/file", "mode": 0o644, "content": "x"}]
    first = configure(step(side, *files), work_on(disk, partitions=parts), disk)
    assert configure(step(side, *files), work_on(disk, partitions=parts), disk) == first


@pytest.mark.parametrize(
    ("path", "lands"),
    [
        ("/srv/escaped", None),
        ("/etc/up/escaped", "etc/escaped"),
        ("/etc/passwd", "etc/passwd"),
    ],
)
def test_links_of_the_image_lead_nowhere_else(
    path: str,
    lands: str | None,
    side: ControllerSide,
    disk: Disk,
    parts: list[Path],
    work_on: Callable[..., Work],
    tmp_path: Path,
) -> None:
    configure(step(side, {"path": path, "mode": 0o644, "content": "inside"}), work_on(disk, partitions=parts), disk)
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (tmp_path / "escaped").exists()
    assert not Path("/etc/escaped").exists()
    with look(parts[1], tmp_path / "mnt") as root:
        place = root / (lands or f"{str(tmp_path).removeprefix('/')}/escaped")
        assert not place.is_symlink()
        assert place.read_text() == "inside"


@pytest.mark.parametrize("path", ["etc/x", "/etc/../../x", "", "/", "/etc/x\0y", "/.."])
def test_a_path_that_is_not_clean_is_refused(
    path: str, side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work]
) -> None:
    with pytest.raises(StepFailed) as caught:
        configure(step(side, {"path": path, "mode": 0o644, "content": ""}), work_on(disk, partitions=parts), disk)
    assert caught.value.code == "seed_failed"


@pytest.mark.parametrize("entry", [{"path": "/x"}, {"content": "x"}, {"path": "/x", "content": "x", "mode": "rw"}])
def test_a_file_that_makes_no_sense_is_named(
    entry: dict[str, Any], side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work]
) -> None:
    with pytest.raises(StepFailed, match="makes no sense") as caught:
        configure(step(side, entry), work_on(disk, partitions=parts), disk)
    assert caught.value.code == "seed_failed"


def test_links_without_an_end_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StepFailed, match="too many symbolic links"):
        resolve(tmp_path, "/a/x")


def test_an_image_without_a_root_is_described(
    side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work]
) -> None:
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", str(parts[1])], check=True, capture_output=True)
    with pytest.raises(StepFailed) as caught:
        configure(step(side), work_on(disk, partitions=parts), disk)
    assert caught.value.code == "no_root_filesystem"
    assert f"{parts[1]} (ext4)" in caught.value.message
    assert not subprocess.run(["findmnt", str(parts[1])], capture_output=True).stdout


def test_a_root_without_a_partition_table_is_found(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], loop: Callable[..., Path]
) -> None:
    whole = file_disk(tmp_path / "whole", 32 * MIB)
    tree = installed_system(tmp_path)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), whole.path], check=True, capture_output=True)
    with Path(whole.path).open("r+b") as stream:
        stream.write(b"\xeb\x63")
    device = loop(Path(whole.path))
    disk = whole._replace(name=device.name, path=str(device))
    assert configure(step(side), work_on(disk), disk)["root"] == str(device)


def test_an_image_without_cloud_init_is_refused(
    side: ControllerSide, tmp_path: Path, table: Path, work_on: Callable[..., Work], loop: Callable[..., Path]
) -> None:
    tree = installed_system(tmp_path)
    (tree / "usr/bin/cloud-init").unlink()
    disk = written(tmp_path, table, tree)
    with pytest.raises(StepFailed, match="no cloud-init"):
        configure(step(side), work_on(disk, partitions=[loop(Path(disk.path), ROOT_OFFSET, ROOT_SIZE)]), disk)


def test_a_seed_that_is_not_there_is_named(
    side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work]
) -> None:
    job = step(side)
    del side.files[f"/seed/{TOKEN}/user-data"]
    with pytest.raises(StepFailed, match="user-data: HTTP 404") as caught:
        configure(job, work_on(disk, partitions=parts), disk)
    assert caught.value.code == "seed_failed"


def test_an_image_that_this_firmware_can_not_boot_is_refused(
    side: ControllerSide, disk: Disk, parts: list[Path], work_on: Callable[..., Work]
) -> None:
    with pytest.raises(StepFailed, match="no EFI system partition") as caught:
        configure(step(side), work_on(disk, partitions=parts, firmware="uefi"), disk)
    assert caught.value.code == "no_bootloader"
    with Path(disk.path).open("r+b") as stream:
        stream.write(bytes(440))
    with pytest.raises(StepFailed, match="no boot code") as caught:
        configure(step(side), work_on(disk, partitions=parts), disk)
    assert caught.value.code == "no_bootloader"


def test_what_a_killed_agent_left_mounted_is_unmounted(parts: list[Path]) -> None:
    where = MOUNT_POINTS / "left-over"
    where.mkdir(parents=True)
    subprocess.run(["mount", str(parts[1]), str(where)], check=True)
    unmount_leftovers()
    assert not where.is_mount()
    unmount_leftovers()
    where.rmdir()
