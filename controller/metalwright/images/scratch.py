# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories for work that is not finished: gone when the work ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

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
    directory, lock = _locked(beside)
    with lock:
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _locked(beside: Path) -> tuple[Path, TextIO]:
    """Make a directory and hold its lock. Before it is held, others take the directory for abandoned: if so, it is made again."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=beside))
        try:
            lock = (directory / _LOCK).open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except FileNotFoundError:
            continue
        except OSError:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        if (directory / _LOCK).exists():
            return directory, lock
        lock.close()


def _remove_if_abandoned(directory: Path) -> None:
    try:
        lock = os.open(directory / _LOCK, os.O_WRONLY)
    except OSError:
        with suppress(OSError):  # not empty, or gone: somebody else is removing it
            directory.rmdir()
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # at work
    else:
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(lock)
