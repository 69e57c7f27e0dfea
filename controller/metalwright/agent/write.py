# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing an image onto a disk: download, hash, decompress, skip holes and write in one pass, nothing kept in between.

Holes. A zero block of the image must read as zeros, whatever the disk held before: file systems count on it. So zeros are
skipped only after the kernel has dropped the image's whole range with ``fallocate(2)``, ``FALLOC_FL_PUNCH_HOLE``, which on a
block device either makes the range read as zeros or fails (it never falls back to a discard that promises nothing, unlike
``blkdiscard``). It is asked for only of disks that can discard; one that could only write zeros would be written to twice.
On all other disks every byte of the image is written. Behind the image's end the disk keeps what it had: no file system reads
there before it has written, and both ends of the disk are wiped.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .abort import Abort
from .children import run
from .disks import Disk, choose, describe, human_size
from .download import Download
from .errors import CommandFailed, StepFailed
from .partitions import reread
from .transfer import Transfer, megabytes_per_second
from .wipe import END_BYTES, clean, zero_ends
from .work import Work


def write_image(step: Mapping[str, Any], work: Work, pause: Callable[[float], None] | None = None) -> tuple[Disk, dict[str, Any]]:
    """Choose the disk, clean it and write the image; return the disk and the step's result.

    Nothing on any disk is changed before the disk was found large enough and the server has begun to send. After a failure
    in the middle the disk's ends are wiped, so that half a system never boots. Raises ``StepFailed``: ``no_disk``,
    ``disk_too_small``, ``image_download_failed``, ``image_corrupt``, ``write_failed``, ``agent_error``.
    """
    disk = choose(work.disks(), step.get("disk") or {}, step["image_bytes"])
    work.console.say(f"write: {human_size(step['image_bytes'])} onto {describe(disk)}")
    transfer = Transfer(step["format"], work)
    download = Download(step["url"], step["download_bytes"], work.console, work.abort, pause)
    began = time.monotonic()
    received = download.chunks(transfer.take)
    work.report("write", 0, "asking for the image", 0, step["download_bytes"])
    next(received)
    try:
        clean(disk, work.partitions(disk), work.abort)
        target = os.open(disk.path, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    except (CommandFailed, OSError) as error:
        raise StepFailed("write_failed", f"{describe(disk)} can not be cleaned: {error}") from error
    whole = False
    try:
        sparse = drop(disk, target, step["image_bytes"], work.abort)
        digest = transfer.run(received, step["download_bytes"], target, sparse, step["image_bytes"])
        if digest != str(step["sha256"]).lower():
            raise StepFailed("image_corrupt", f"{step['url']}: sha256 is {digest}, should be {step['sha256']}")
        work.report("write", 100, "waiting for the disk", step["download_bytes"], step["download_bytes"])
        _flush(target)
        whole = True
    finally:
        os.close(target)
        if not whole:
            _spoil(disk, work)
    try:
        reread(disk, work.abort)
    except OSError as error:
        raise StepFailed(
            "write_failed", f"the kernel does not take the new partition table of {disk.path}: {error.strerror}"
        ) from error
    seconds = time.monotonic() - began
    work.console.say(f"write: done in {seconds:.0f} s, {megabytes_per_second(step['image_bytes'], seconds)} of image")
    return disk, {"disk": disk.id, "path": disk.path, "seconds": round(seconds, 1), "sparse": sparse}


def drop(disk: Disk, target: int, length: int, abort: Abort) -> bool:
    """Make the first ``length`` bytes read as zeros if that costs nothing; return whether they do now."""
    if stat.S_ISBLK(os.fstat(target).st_mode) and not _can_discard(disk):
        return False
    try:
        # Through the program: Python's os module has no fallocate with flags. The disk itself is held open exclusively by us.
        run(["fallocate", "--punch-hole", "--offset", "0", "--length", str(length), disk.path], abort, timeout=600)
    except CommandFailed:
        return False
    return True


def _can_discard(disk: Disk, sys: Path = Path("/sys")) -> bool:
    try:
        return int((sys / "block" / disk.name / "queue/discard_max_bytes").read_text(encoding="ascii")) > 0
    except (OSError, ValueError):
        return False


def _flush(target: int) -> None:
    try:
        os.fsync(target)
    except OSError as error:
        raise StepFailed("write_failed", f"the disk did not take what was written: {error.strerror}") from error


def _spoil(disk: Disk, work: Work) -> None:
    """See that what is on the disk does not boot."""
    try:
        zero_ends(disk.path)
    except OSError as error:
        work.console.say(f"write: {disk.path} can not be wiped: {error}")
    else:
        work.console.say(f"write: the first and last {human_size(END_BYTES)} of {disk.path} are wiped; it will not boot")
