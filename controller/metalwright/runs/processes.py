# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding processes by where they come from, and ending them. Imports nothing of ours.

Killing a process group does not do: since ansible-core 2.19 each worker of a play begins a session of its own, and what a task
starts may begin another. What no process can leave is its ancestry, as long as an ancestor takes in orphans (prctl(2),
PR_SET_CHILD_SUBREAPER); and what it seldom sheds is its environment.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "METALWRIGHT_RUN"
"""Variable in the environment of every process of a run; its value is the run's directory."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """From now on a descendant whose parent dies becomes a child of this process. Raises ``OSError``."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as ``parent``, which forked it, is gone. Raises ``OSError``."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died between our fork and the line above
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def end_descendants() -> None:
    """Kill every descendant of this process, which must have called ``adopt_orphans``, and return when none is left."""
    while True:
        for pid in _descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def end_marked(run: Path) -> int:
    """Kill every process that bears the mark of this run, wherever it hangs now; returns how many there were."""
    wanted = f"{MARK}={run}".encode()
    found = looks = 0
    while looks < 2:  # one that is becoming another program has no environment to be seen for a moment
        pids = [pid for pid in _pids() if wanted in _environment(pid)]
        looks = 0 if pids else looks + 1
        found += len(pids)
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return found


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for pid in _pids():
        with suppress(OSError, ValueError, IndexError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            children[int(stat.rpartition(")")[2].split()[1])].append(pid)
    found, open_ = [], [ancestor]
    while open_:
        below = children[open_.pop()]
        found += below
        open_ += below
    return found


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())


def _environment(pid: int) -> list[bytes]:
    """Empty for one that is not ours, has ended, or is a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
