# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and disk images of a few MiB."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalwright.agent.disks import Disk

MIB = 1 << 20
HALT = b"\xfa\xf4\xeb\xfd"
"""CLI, HLT, and JMP back to it: boot code that is started and does nothing, for ever."""


def make_image(path: Path, *, boot_code: bool = True, root: bool = True) -> Path:
    """A disk image of 24 MiB: an ext4 that fills it, with a root that has cloud-init, most of it noise.

    Its first sector has room for boot code and the signature of a partition table, which ext4 leaves alone; the table is
    empty, for not every kernel that these tests run on reads one.
    """
    tree = path.with_suffix(".tree")
    for name in ("etc/cloud", "usr/bin", "var"):
        (tree / name).mkdir(parents=True)
    if root:
        (tree / "etc/os-release").write_text("ID=debian\n")
    (tree / "usr/bin/cloud-init").write_text("#!/bin/sh\n")
    (tree / "var/noise").write_bytes(os.urandom(16 * MIB))
    with path.open("wb") as image:
        image.truncate(24 * MIB)
    mkfs = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", str(tree), str(path)]
    subprocess.run(mkfs, check=True, capture_output=True)
    with path.open("r+b") as image:
        if boot_code:
            image.write(HALT)
        image.seek(510)
        image.write(b"\x55\xaa")
    return path


@contextmanager
def loop_disk(file: Path, size: int) -> Iterator[Disk]:
    """A block device of that size over a file."""
    with file.open("ab") as stream:
        stream.truncate(size)
    command = ["losetup", "--find", "--show", "--nooverlap", "--partscan", str(file)]
    device = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    try:
        name = device.name
        yield Disk(name, str(device), f"serial-{name}", name, "", "A loop device", size, False, "other", False)
    finally:
        subprocess.run(["losetup", "--detach", str(device)], check=True)
