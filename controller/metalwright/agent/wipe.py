# SPDX-License-Identifier: GPL-3.0-or-later
"""Wiping all disks, each in a thread of its own, under the eyes of one that notices a disk which has stopped moving.

Quick takes away everything by which somebody could take a disk for a used one; what the files held stays. Signatures go first, of
partitions too, or a file system would be back as soon as a partition begins at the same sector again; then both ends of the disk
are zeroed, where GPT keeps its table and the copy (UEFI 2.10, 5.3), MBR its code, and md and the BIOS loaders what is theirs.

Full writes zeros over every block. Secure has the drive erase itself, and is full where the drive can not.
"""

from __future__ import annotations

import mmap
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .abort import Abort
from .children import run
from .direct import direct, write_all
from .disks import Disk, describe, human_size
from .errors import Aborted, StepFailed
from .pace import Pace
from .partitions import reread
from .secure import NotOffered, drop_password, own_erase
from .work import Work

END_BYTES = 1 << 20
"""Zeroed at the beginning and at the end. GPT needs 34 sectors of 512 bytes or 6 of 4096; the rest is what else lives there."""
BLOCK_BYTES = 4 << 20
"""Written at once by a full erase."""
MODES = ("quick", "full", "secure")
STALL_SECONDS = 600.0
TICK = 1.0
"""Seconds between two looks at how far the disks are."""


class _End(NamedTuple):
    disk: Disk
    method: str
    seconds: float
    error: Exception | None


def wipe_disks(
    step: Mapping[str, Any], work: Work, clock: Callable[[], float] = time.monotonic, tick: float = TICK
) -> dict[str, Any]:
    """Wipe every disk that is not removable; the result tells how: ``{"disks": [{"id", "method", "seconds"}]}``.

    All are tried, also after one has failed. But the step ends at once when a disk does not move for ``stall_seconds`` of
    ``clock``: whatever waits for it can not be ended. Raises ``StepFailed``: ``wipe_failed``, ``wipe_stalled``; ``agent_error``
    for a mode or a choice of disks that this agent does not know.
    """
    mode = str(step.get("mode"))
    if mode not in MODES or step.get("disks") != "all":
        raise StepFailed("agent_error", f"this agent can not wipe with mode={step.get('mode')!r} disks={step.get('disks')!r}")
    disks = [disk for disk in work.disks() if not disk.removable]
    limit = float(step.get("stall_seconds") or STALL_SECONDS)
    pace = Pace({disk.path: _bytes_to_write(disk, mode) for disk in disks}, limit, clock)
    ends: queue.SimpleQueue[_End] = queue.SimpleQueue()
    for group in together(disks):
        threading.Thread(target=_wipe_group, args=(group, mode, pace, limit, work, ends), daemon=True).start()
    finished: list[_End] = []
    began = time.monotonic()
    while len(finished) < len(disks):
        _report(mode, pace, began, work)
        try:
            finished.append(ends.get(timeout=tick))
            continue
        except queue.Empty:
            work.abort.check()
        if (stall := pace.stall()) is not None:
            raise StepFailed(
                "wipe_stalled",
                f"nothing has moved on {stall.path} for {stall.seconds:.0f} s, after"
                f" {human_size(stall.done_bytes)} of {human_size(stall.total_bytes)}",
            )
    return _result(disks, finished)


def together(disks: Sequence[Disk]) -> list[list[Disk]]:
    """Return the disks in groups that may be wiped at the same time: namespaces of one NVMe drive are wiped one by one."""
    groups: dict[str, list[Disk]] = {}
    for disk in disks:
        groups.setdefault(re.sub(r"^(nvme\d+)n\d+$", r"\1", disk.name), []).append(disk)
    return list(groups.values())


def clean(disk: Disk, partitions: Sequence[Path], abort: Abort) -> None:
    """Wipe one disk in the quick way (``disk.path`` may also be a plain file), also one that our own erase has left locked.

    Raises ``CommandFailed`` and ``OSError``.
    """
    drop_password(disk, abort)
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
        zeros = memoryview(bytes(min(END_BYTES, size)))
        for offset in (0, size - len(zeros)):
            at = offset
            while at < offset + len(zeros):
                at += os.pwrite(target, zeros[at - offset :], at)
        os.fsync(target)
    finally:
        os.close(target)


def zero_all(disk: Disk, pace: Pace, abort: Abort) -> None:
    """Write zeros over every block of a disk, past the page cache. Raises ``OSError``, which names the place, and ``Aborted``."""
    target = os.open(disk.path, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        size = os.lseek(target, 0, os.SEEK_END)
        zeros = memoryview(mmap.mmap(-1, BLOCK_BYTES))  # anonymous maps begin at a page, as O_DIRECT wants it
        direct(target, True)
        for offset in range(0, size, BLOCK_BYTES):
            abort.check()
            length = min(BLOCK_BYTES, size - offset)
            try:
                write_all(target, zeros[:length], offset)
            except OSError as error:
                raise OSError(error.errno, f"{error.strerror} at byte {offset}") from error
            pace.moved(disk.path, offset + length)
        os.fsync(target)
    finally:
        os.close(target)


def _bytes_to_write(disk: Disk, mode: str) -> int:
    return min(2 * END_BYTES, disk.size_bytes) if mode == "quick" else disk.size_bytes


def _wipe_group(group: list[Disk], mode: str, pace: Pace, limit: float, work: Work, ends: queue.SimpleQueue[_End]) -> None:
    for disk in group:
        pace.begin(disk.path)
        began = time.monotonic()
        method, failure = mode, None
        try:
            method = _wipe(disk, mode, pace, limit, work)
        except Aborted:
            return  # who waits for this disk has heard of it too
        except Exception as error:  # noqa: BLE001 - told by who waits for this disk
            failure = error
        pace.end(disk.path)
        seconds = time.monotonic() - began
        work.console.say(f"wipe: {disk.path}: {failure or f'done by {method}'}, after {seconds:.0f} s")
        ends.put(_End(disk, method, seconds, failure))


def _wipe(disk: Disk, mode: str, pace: Pace, limit: float, work: Work) -> str:
    """Wipe one disk and return by which method."""
    work.console.say(f"wipe: {describe(disk)}: {mode}")
    clean(disk, work.partitions(disk), work.abort)
    if mode == "quick":
        return mode
    method = "full"
    if mode == "secure":
        try:
            method = own_erase(disk, pace, limit, work.abort)
        except NotOffered as error:
            work.console.say(f"wipe: {disk.path} does not erase itself, so all of it is written over: {error}")
    if method == "full":
        pace.moved(disk.path, 0)
        zero_all(disk, pace, work.abort)
        reread(disk, work.abort)
    else:
        clean(disk, [], work.abort)
    return method


def _report(mode: str, pace: Pace, began: float, work: Work) -> None:
    done, total = pace.total()
    rate = done / max(time.monotonic() - began, 0.001) / 1e6
    work.report("wipe", 100 * done / max(total, 1), f"{mode}, {rate:.0f} MB/s", done, total)


def _result(disks: Sequence[Disk], finished: Sequence[_End]) -> dict[str, Any]:
    by_path = {end.disk.path: end for end in finished}
    ends = [by_path[disk.path] for disk in disks]
    failures = [f"{end.disk.path}: {end.error}" for end in ends if end.error is not None]
    if failures:
        raise StepFailed("wipe_failed", "; ".join(failures))
    return {"disks": [{"id": end.disk.id, "method": end.method, "seconds": round(end.seconds, 1)} for end in ends]}
