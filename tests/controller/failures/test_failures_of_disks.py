# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong while an image is written: real agent, real node plane, real block devices."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from site_under_test import Site
from tiny_disks import MIB, loop_disk
from verdicts import now

from metalwright.agent.disks import Disk


def test_no_disk_fits(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("no-disk", disk, seen=("nvme7n1",))
    operation = site.start("no-disk", "deploy", image=image, disk={"name": "nvme7n1"})
    cause = now()
    site.boot(machine, operation)
    site.failed(
        "agent found no disk that fits",
        operation,
        "no_disk",
        cause=cause,
        says=("name=nvme7n1", disk.path, "64 MiB"),
        back=site.release(machine),
    )
    assert b"END poweroff" in machine.log.read_bytes()


def test_the_disk_is_too_small(site: Site, image: str, tmp_path: Path, disk: Disk) -> None:
    with loop_disk(tmp_path / "small", 16 * MIB) as small:
        machine = site.machine("small", small)
        operation = site.start("small", "deploy", image=image)
        cause = now()
        site.boot(machine, operation)
        site.failed(
            "disk too small",
            operation,
            "disk_too_small",
            cause=cause,
            says=("16 MiB", "24 MiB", small.path),
            back=site.release(machine),
        )


def test_a_byte_is_changed_on_the_way(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("noise", disk)
    site.cable.damage_at = 7 * MIB + 11
    operation = site.start("noise", "deploy", image=image)
    cause = now()
    site.boot(machine, operation)
    site.failed("image corrupt in transit", operation, "image_corrupt", cause=cause, back=site.release(machine))
    assert not any(Path(disk.path).read_bytes()[:MIB])


def test_the_image_server_goes_away(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("gone", disk)
    site.cable.breaks_at = 5 * MIB
    operation = site.start("gone", "deploy", image=image)
    cause = now()
    site.boot(machine, operation)
    site.failed(
        "image server gone",
        operation,
        "image_download_failed",
        cause=cause,
        says=("/image", "tries", "bytes came"),
        back=site.release(machine),
    )


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[Disk]:
    """A block device of 64 MiB that has room for 10: its kernel answers writes beyond that with an error."""
    room = tmp_path / "room"
    room.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={10 * MIB}", "tmpfs", str(room)], check=True)
    try:
        with loop_disk(room / "disk", 64 * MIB) as made:
            yield made
    finally:
        subprocess.run(["umount", str(room)], check=True)


def test_the_disk_does_not_take_what_is_written(site: Site, image: str, failing_disk: Disk, disk: Disk) -> None:
    machine = site.machine("bad-blocks", failing_disk)
    operation = site.start("bad-blocks", "deploy", image=image)
    cause = now()

    def replaced() -> str:
        machine.disks = [disk]
        return f"another disk; {site.release(machine)()}"

    site.boot(machine, operation)
    site.failed(
        "disk write error",
        operation,
        "write_failed",
        cause=cause,
        says=("can not write to the disk at byte",),
        back=replaced,
    )


def test_the_image_has_nothing_that_boots_it(site: Site, disk: Disk) -> None:
    name = site.add_image("no-loader/1", boot_code=False)
    machine = site.machine("no-loader", disk)
    operation = site.start("no-loader", "deploy", image=name)
    cause = now()
    site.boot(machine, operation)
    site.failed(
        "no loader in the image (BIOS)",
        operation,
        "no_bootloader",
        cause=cause,
        says=("no boot code in its first sector", "BIOS"),
        back=site.release(machine),
    )


def test_the_image_has_no_esp_for_a_machine_that_boots_by_uefi(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("no-esp", disk)
    before = Path(disk.path).read_bytes()
    operation = site.start("no-esp", "deploy", image=image)
    cause = now()
    site.boot(machine, operation, firmware="uefi")
    site.failed(
        "no ESP in the image (UEFI)",
        operation,
        "no_bootloader",
        cause=cause,
        says=(image, "bios only", "booted by uefi"),
        back=site.release(machine),
        after="ready",
    )
    assert len(Path(disk.path).read_bytes()) == len(before)


def test_the_image_has_no_root(site: Site, disk: Disk) -> None:
    name = site.add_image("no-root/1", root=False)
    machine = site.machine("no-root", disk)
    operation = site.start("no-root", "deploy", image=name)
    cause = now()
    site.boot(machine, operation)
    site.failed("no root file system in the image", operation, "no_root_filesystem", cause=cause, back=site.release(machine))
