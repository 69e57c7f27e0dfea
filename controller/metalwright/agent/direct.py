# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing to a disk past the page cache: what is written has reached the drive, and memory stays free."""

from __future__ import annotations

import fcntl
import os

ALIGNMENT = 4096
"""Of offsets, lengths and memory: the largest sector in use, so it fits every disk (open(2), O_DIRECT)."""


def direct(target: int, on: bool) -> None:
    """Switch O_DIRECT of an open file; where the file system knows no such thing, writing goes through the page cache."""
    flags = fcntl.fcntl(target, fcntl.F_GETFL)
    try:
        fcntl.fcntl(target, fcntl.F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
    except OSError:
        return


def write_all(target: int, data: memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``; a last part that is not aligned goes through the page cache. Raises ``OSError``."""
    while data:
        if len(data) % ALIGNMENT:  # the end of something that does not end with a sector
            direct(target, False)
        written = os.pwrite(target, data, offset)
        data = data[written:]
        offset += written
