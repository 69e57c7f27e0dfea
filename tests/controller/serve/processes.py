# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at processes, and waiting for them with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def lives(pid: int) -> bool:
    """True unless the process is gone or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def name(pid: int) -> str:
    """Its short name, as top shows it; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid: int) -> list[int]:
    """The living children of a process, whichever of its threads started them."""
    found: list[str] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += thread.read_text().split()
    return [int(each) for each in found if lives(int(each))]


def descendants(pid: int) -> list[int]:
    """All below a process."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def until(look: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """Look again and again until something is found; fails after ``seconds``, which a busy host may need."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)
    return found
