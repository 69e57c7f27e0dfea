# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk can be started by, read from its first sectors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from metalwright.images.formats import HEAD_BYTES, Disk, inspect_raw


def partitioned(path: Path, *options: str, boot_code: bool = True) -> bytes:
    with path.open("wb") as out:
        out.truncate(16 << 20)
    subprocess.run(["sgdisk", *options, path], check=True, stdout=subprocess.DEVNULL)
    with path.open("r+b") as out:
        if boot_code:
            out.write(b"\xeb\x63")
        out.seek(0)
        return out.read(HEAD_BYTES)


@pytest.mark.parametrize(
    ("options", "boot_code", "expected"),
    [
        (["--new=1:0:+1M", "--typecode=1:EF02", "--new=2:0:0"], True, Disk(["bios"], "amd64")),
        (["--new=1:0:+4M", "--typecode=1:EF00", "--new=2:0:0"], False, Disk(["uefi"], "amd64")),
        (["--new=1:0:+4M", "--typecode=1:EF00", "--new=2:0:0", "--typecode=2:8304"], True, Disk(["bios", "uefi"], "amd64")),
        (["--new=1:0:+4M", "--typecode=1:EF00", "--new=2:0:0", "--typecode=2:8305"], False, Disk(["uefi"], "arm64")),
        (["--new=1:0:+4M", "--typecode=1:EF00", "--new=2:0:0", "--gpttombr=1:2"], True, Disk(["bios", "uefi"], "amd64")),
    ],
)
def test_firmware_and_architecture(tmp_path: Path, options: list[str], boot_code: bool, expected: Disk) -> None:
    assert inspect_raw(partitioned(tmp_path / "disk", *options, boot_code=boot_code), "disk") == expected


@pytest.mark.parametrize("length", [520, 584, 600, 603])
def test_a_partition_table_that_is_cut_short_is_none(tmp_path: Path, length: int) -> None:
    head = partitioned(tmp_path / "disk", "--new=1:0:+4M", "--typecode=1:EF00", "--new=2:0:0")
    assert inspect_raw(head[:length], "disk") == Disk(["bios"], "amd64")
