# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk's partition table: letting the kernel see it anew, and what each partition holds."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import NamedTuple

from .abort import Abort
from .children import run
from .disks import Disk
from .errors import CommandFailed

_BLKRRPART = 0x125F  # linux/fs.h
_TRIES, _PAUSE = 50, 0.1
_GPT_SIGNATURE = b"EFI PART"
_SECTOR_SIZES = (512, 4096)
ESP_TYPES = ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0xef")
"""Partition type of an EFI system partition in a GPT and in an MBR (UEFI 2.10, 5.3.3 and 5.2.2)."""


class Partition(NamedTuple):
    """One partition: its device, its number on the disk (0: the file system fills the disk), file system and partition type."""

    path: Path
    number: int
    filesystem: str
    type: str


def reread(disk: Disk, abort: Abort) -> None:
    """Have the kernel read the partition table again, and udev make the devices. Nothing for a plain file.

    udev looks at a disk whenever it was written to, and meanwhile the kernel says busy; so this tries for a few seconds.
    Raises ``OSError``.
    """
    device = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not stat.S_ISBLK(os.fstat(device).st_mode):
            return
        for left in reversed(range(_TRIES)):
            try:
                fcntl.ioctl(device, _BLKRRPART)
                break
            except OSError as error:
                if error.errno == errno.EINVAL:  # a device that can have no partitions
                    return
                if left == 0:
                    raise
            abort.sleep(_PAUSE)
    finally:
        os.close(device)
    settle(abort)


def settle(abort: Abort) -> None:
    """Wait until udev has made the devices it knows of."""
    try:
        run(["udevadm", "settle", "--timeout=10"], abort, timeout=15)
    except CommandFailed:
        return  # a device that is not there will be missed by who needs it, who can say so better


def has_gpt(disk: Disk) -> bool:
    """Return whether the disk has a GPT, for sectors of either size. Raises ``OSError``."""
    device = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return any(os.pread(device, len(_GPT_SIGNATURE), size) == _GPT_SIGNATURE for size in _SECTOR_SIZES)
    finally:
        os.close(device)


def probe(paths: list[Path], abort: Abort) -> list[Partition]:
    """Return what is in these devices, as blkid sees it by looking inside (not from its or udev's memory)."""
    found = []
    for path in paths:
        try:
            text = run(["blkid", "--probe", "--output", "export", str(path)], abort)
        except CommandFailed:  # status 2: nothing it knows
            text = ""
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        number = fields.get("PART_ENTRY_NUMBER", "0")
        found.append(Partition(path, int(number), fields.get("TYPE", ""), fields.get("PART_ENTRY_TYPE", "")))
    return found
