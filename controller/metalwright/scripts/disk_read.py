#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
# --- metalwright
# name: disk-read
# kind: test
# title: Reads from all disks, with the time it takes
# timeout: 1d
# parameters:
#   size: {type: size, default: 1GiB, description: "How much is read of each disk, all over it; 0: everything."}
#   minimum: {type: int, default: 0, description: A disk that is slower fails; in MB/s.}
# ---
"""Reads from every disk that is not removable, all at once, past the page cache (``O_DIRECT``).

Fails if something could not be read. Result: ``{"disks": [{"device", "bytes", "seconds", "mb_per_second", "errors"}]}``.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

SKIPPED = 77
BLOCK = 4 << 20
"""Bytes of one read: what a disk does fast, whatever its sectors are."""
MOST_ERRORS = 20
"""A disk is given up after so many: each may take a minute."""
_VIRTUAL = ("loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock", "drbd", "rbd", "zd")


def main() -> int:
    """Return the exit status."""
    size = int(os.environ.get("METALWRIGHT_PARAM_SIZE", "1073741824"))
    minimum = int(os.environ.get("METALWRIGHT_PARAM_MINIMUM", "0"))
    devices = disks(Path("/sys/block"))
    if not devices:
        print("This machine has no disk.")
        return SKIPPED
    with ThreadPoolExecutor(len(devices)) as pool:
        found = list(pool.map(partial(read, size=size), devices))
    for told in found:
        print(f"{told['device']}: {told['bytes'] // 10**6} MB, {told['mb_per_second']} MB/s, {len(told['errors'])} errors")
        for error in told["errors"]:
            print(f"  {error}")
    if result := os.environ.get("METALWRIGHT_RESULT"):
        Path(result).write_text(json.dumps({"disks": found}), encoding="utf-8")
    slow = [told["device"] for told in found if told["mb_per_second"] < minimum]
    if slow:
        print(f"slower than {minimum} MB/s: {', '.join(slow)}")
    return 1 if slow or any(told["errors"] for told in found) else 0


def disks(blocks: Path) -> list[str]:
    """Paths of the disks that are neither removable nor made of others."""
    found = []
    for block in sorted(blocks.iterdir()):
        facts = {name: _text(block / name) for name in ("size", "removable", "hidden")}
        if block.name.startswith(_VIRTUAL) or (block.name.startswith("mmcblk") and "boot" in block.name):
            continue
        if int(facts["size"] or 0) and facts["removable"] != "1" and facts["hidden"] != "1":
            found.append(f"/dev/{block.name}")
    return found


def places(length: int, size: int) -> list[int]:
    """Offsets of the blocks to read: all, or as many as ``size`` asks for at even distances, the first and the last included."""
    blocks = length // BLOCK
    wanted = blocks if size == 0 else min(-(-size // BLOCK), blocks)
    if wanted <= 1:
        return [0][:wanted]
    return [(blocks - 1) * number // (wanted - 1) * BLOCK for number in range(wanted)]


def read(device: str, size: int) -> dict[str, Any]:
    """Read from one disk; the errors name the place."""
    errors: list[str] = []
    done = 0
    began = time.monotonic()
    try:
        handle = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        return {"device": device, "bytes": 0, "seconds": 0, "mb_per_second": 0, "errors": [str(error)]}
    buffer = mmap.mmap(-1, BLOCK)  # O_DIRECT wants memory that begins at a page
    try:
        for offset in places(os.lseek(handle, 0, os.SEEK_END), size):
            try:
                done += os.preadv(handle, [buffer], offset)
            except OSError as error:
                errors.append(f"at byte {offset}: {error.strerror}")
                if len(errors) >= MOST_ERRORS:
                    break
    finally:
        os.close(handle)
    seconds = time.monotonic() - began
    speed = round(done / max(seconds, 1e-6) / 1e6, 1)
    return {"device": device, "bytes": done, "seconds": round(seconds, 3), "mb_per_second": speed, "errors": errors}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
