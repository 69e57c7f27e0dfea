# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking away everything by which somebody could take a disk for a used one: file system signatures and partition tables.

The quick way: what the files held stays on the disk. Signatures go first, of partitions too, or a file system would be back
as soon as a partition begins at the same sector again; then both ends of the disk are zeroed, where GPT keeps its table and
the copy (UEFI 2.10, 5.3), MBR its code, and md and the BIOS loaders what is theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .abort import Abort
from .children import run
from .disks import Disk, describe
from .errors import CommandFailed, StepFailed
from .partitions import reread
from .work import Work

END_BYTES = 1 << 20
"""Zeroed at the beginning and at the end. GPT needs 34 sectors of 512 bytes or 6 of 4096; the rest is what else lives there."""


def wipe_disks(step: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """Wipe every disk that is not removable; the result names them. All are tried, also after one has failed.

    Raises ``StepFailed``: ``wipe_failed``; ``agent_error`` for a mode or a choice of disks that this agent does not know.
    """
    if step.get("mode") != "quick" or step.get("disks") != "all":
        raise StepFailed("agent_error", f"this agent can not wipe with mode={step.get('mode')!r} disks={step.get('disks')!r}")
    disks = [disk for disk in work.disks() if not disk.removable]
    failures = []
    for number, disk in enumerate(disks):
        work.console.say(f"wipe: {describe(disk)}")
        work.report("wipe", 100 * number / len(disks), f"wiping {disk.path}")
        try:
            clean(disk, work.partitions(disk), work.abort)
        except (CommandFailed, OSError) as error:
            failures.append(f"{disk.path}: {error}")
    if failures:
        raise StepFailed("wipe_failed", "; ".join(failures))
    return {"disks": [disk.id for disk in disks]}


def clean(disk: Disk, partitions: Sequence[Path], abort: Abort) -> None:
    """Wipe one disk (``disk.path`` may also be a plain file). Raises ``CommandFailed`` and ``OSError``."""
    if partitions:
        run(["wipefs", "--all", "--force", *(str(path) for path in partitions)], abort)
    run(["wipefs", "--all", "--force", disk.path], abort)
    zero_ends(disk.path)
    reread(disk, abort)


def zero_ends(path: str) -> None:
    """Write zeros over both ends of a disk and see them reach it. Raises ``OSError``, also when the disk is in use."""
    target = os.open(path, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        size = os.lseek(target, 0, os.SEEK_END)
        zeros = bytes(min(END_BYTES, size))
        _write_all(target, zeros, 0)
        _write_all(target, zeros, size - len(zeros))
        os.fsync(target)
    finally:
        os.close(target)


def _write_all(target: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(target, view, offset)
        offset += written
        view = view[written:]
