# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tree of processes has used: CPU seconds and memory, from proc(5)."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():  # a child is listed with the thread that has forked it
            found += map(int, (thread / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(each for child in found for each in family(child))]


def named(pid: int, name: str) -> int:
    """The process of a tree with a name as ``ps -o comm`` tells it. Raises ``LookupError``."""
    for each in family(pid):
        if Path(f"/proc/{each}/comm").read_text().strip() == name:
            return each
    raise LookupError(f"no process below {pid} is named {name}")


def cpu_seconds(pid: int) -> float:
    """Of the tree, with what has ended in it and was waited for."""
    ticks = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICK


def pss(pid: int) -> int:
    """Bytes of the tree, shared pages in proportion."""
    total = 0
    for each in family(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
    return total


class Together:
    """The CPU time of processes and of all that they start from then on, counted by a cgroup (cgroups(7), version 2).

    Unlike ``cpu_seconds`` it knows of children that nobody has waited for, as tftpd-hpa's, and it counts microseconds. Root only.
    """

    def __init__(self, *pids: int) -> None:
        mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
        root = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
        if root is None:
            raise SystemExit("CPU time is counted by cgroups of version 2, and none are mounted: mount -t cgroup2 none PLACE")
        self._root = root
        self._place = Path(tempfile.mkdtemp(prefix="metalwright-bench-", dir=self._root))
        self._move(pids, self._place)

    def seconds(self) -> float:
        """Since it was made."""
        told = dict(line.split() for line in (self._place / "cpu.stat").read_text().splitlines())
        return int(told["usage_usec"]) / 1e6

    def close(self) -> None:
        """Count no longer; processes that still run go on."""
        self._move(map(int, (self._place / "cgroup.procs").read_text().split()), self._root)
        self._place.rmdir()

    def _move(self, pids: Iterable[int], place: Path) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                (place / "cgroup.procs").write_text(str(pid))


class Peak:
    """The most memory that a tree has had while the block runs, looked at once a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(1.0):
            self.bytes = max(self.bytes, pss(self._pid))
