#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
# --- metalwright
# name: disk-write
# kind: test
# title: Writes to all disks and reads what was written; destroys what is on them
# timeout: 7d
# destructive: true
# parameters:
#   size: {type: size, default: 1GiB, description: "How much is written to each disk, all over it; 0: everything."}
# ---
"""Writes blocks that tell their own place to every disk that is not removable, all at once, then reads and compares them.

Both go past the page cache (``O_DIRECT``). A disk that is smaller than it says, or that takes one sector for another, is found
by that. Result: ``{"disks": [{"device", "bytes", "write_mb_per_second", "read_mb_per_second", "errors"}]}``.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

SKIPPED = 77
BLOCK = 4 << 20
SECTOR = 4096
MOST_ERRORS = 20
_VIRTUAL = ("loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock", "drbd", "rbd", "zd")


def main() -> int:
    """Return the exit status."""
    size = int(os.environ.get("METALWRIGHT_PARAM_SIZE", "1073741824"))
    devices = disks(Path("/sys/block"))
    if not devices:
        print("This machine has no disk that can be written to.")
        return SKIPPED
    with ThreadPoolExecutor(len(devices)) as pool:
        found = list(pool.map(partial(examine, size=size), devices))
    for told in found:
        speeds = f"written {told['write_mb_per_second']} MB/s, read {told['read_mb_per_second']} MB/s"
        print(f"{told['device']}: {told['bytes'] // 10**6} MB, {speeds}, {len(told['errors'])} errors")
        for error in told["errors"]:
            print(f"  {error}")
    if result := os.environ.get("METALWRIGHT_RESULT"):
        Path(result).write_text(json.dumps({"disks": found}), encoding="utf-8")
    return 1 if any(told["errors"] for told in found) else 0


def disks(blocks: Path) -> list[str]:
    """Paths of the disks that can be written to and are neither removable nor made of others."""
    found = []
    for block in sorted(blocks.iterdir()):
        facts = {name: _text(block / name) for name in ("size", "removable", "hidden", "ro")}
        if block.name.startswith(_VIRTUAL) or (block.name.startswith("mmcblk") and "boot" in block.name):
            continue
        if int(facts["size"] or 0) and "1" not in (facts["removable"], facts["hidden"], facts["ro"]):
            found.append(f"/dev/{block.name}")
    return found


def places(length: int, size: int) -> list[int]:
    """Offsets of the blocks to write: all, or as many as ``size`` asks for at even distances, the first and the last included."""
    blocks = length // BLOCK
    wanted = blocks if size == 0 else min(-(-size // BLOCK), blocks)
    if wanted <= 1:
        return [0][:wanted]
    return [(blocks - 1) * number // (wanted - 1) * BLOCK for number in range(wanted)]


class Pattern:
    """Blocks of noise in which every sector begins with its own offset on the disk."""

    def __init__(self) -> None:
        self._block = mmap.mmap(-1, BLOCK)  # O_DIRECT wants memory that begins at a page
        self._block[:] = os.urandom(BLOCK)

    def at(self, offset: int) -> mmap.mmap:
        """The block that belongs to ``offset``; it is valid until the next call."""
        for start in range(0, BLOCK, SECTOR):
            self._block[start : start + 8] = (offset + start).to_bytes(8, "little")
        return self._block


def examine(device: str, size: int) -> dict[str, Any]:
    """Write to one disk and read it again. One that is in use is not touched (``O_EXCL``)."""
    try:
        handle = os.open(device, os.O_RDWR | os.O_DIRECT | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        none = {"bytes": 0, "write_mb_per_second": 0, "read_mb_per_second": 0}
        return {"device": device, **none, "errors": [str(error)]}
    try:
        offsets = places(os.lseek(handle, 0, os.SEEK_END), size)
        pattern, buffer, errors = Pattern(), mmap.mmap(-1, BLOCK), list[str]()

        def write(offset: int) -> None:
            if os.pwritev(handle, [pattern.at(offset)], offset) != BLOCK:
                raise OSError(0, "not all was written")

        def compare(offset: int) -> None:
            if os.preadv(handle, [buffer], offset) != BLOCK or buffer[:] != pattern.at(offset)[:]:
                raise OSError(0, "what was read is not what was written")

        written = _timed(write, offsets, errors)
        try:
            os.fsync(handle)
        except OSError as error:
            errors.append(f"flushing: {error.strerror}")
        read = _timed(compare, offsets, errors)
    finally:
        os.close(handle)
    done = len(offsets) * BLOCK
    return {"device": device, "bytes": done, "write_mb_per_second": written, "read_mb_per_second": read, "errors": errors}


def _timed(act: Callable[[int], None], offsets: list[int], errors: list[str]) -> float:
    """Do it at each place until there are too many errors; MB/s."""
    began = time.monotonic()
    done = 0
    for offset in offsets:
        try:
            act(offset)
        except OSError as error:
            errors.append(f"at byte {offset}: {error.strerror}")
            if len(errors) >= MOST_ERRORS:
                break
        else:
            done += 1
    return round(done * BLOCK / max(time.monotonic() - began, 1e-6) / 1e6, 1)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
