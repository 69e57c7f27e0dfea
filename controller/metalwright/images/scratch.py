# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories for work that is not finished: gone when the work ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".unfinished-"
_LOCK = ".lock"


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """Give a new directory inside ``beside``, on the same file system, so that what is finished moves by one rename.

    What a killed process has left there is removed first: a lock that nobody holds any more tells.
    """
    beside.mkdir(parents=True, exist_ok=True)
    for left in beside.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(left)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=beside))
    try:
        with (directory / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_if_abandoned(directory: Path) -> None:
    try:
        lock = os.open(directory / _LOCK, os.O_WRONLY)
    except OSError:
        return  # made this moment, or gone
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # at work
    else:
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(lock)
