#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
# --- metalwright
# name: memory
# kind: test
# title: Patterns written to memory and read again (memtester)
# timeout: 1d
# parameters:
#   share: {type: int, default: 80, description: Percent of the free memory that is tested.}
#   size: {type: size, description: "How much is tested, instead of a share, for example 2GiB."}
#   loops: {type: int, default: 1, description: How often every pattern is tried.}
# ---
"""Runs one memtester per processor, each on its part of the memory, so that all of it is read by somebody at once.

Memory that the kernel and the agent use is not tested. Result: ``{"bytes", "processes", "loops", "failed"}``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LEFT_FREE = 256 << 20
"""The agent and the kernel go on living."""
SMALLEST_PART = 64 << 20
_MIB = 1 << 20
_BAD = {1: "could not get its memory", 2: "an address line is stuck", 4: "what was written was not what was read"}


def main() -> int:
    """Return the exit status."""
    free = available(Path("/proc/meminfo").read_text(encoding="ascii"))
    total = amount(free, os.environ.get("METALWRIGHT_PARAM_SIZE"), int(os.environ.get("METALWRIGHT_PARAM_SHARE", "80")))
    loops = int(os.environ.get("METALWRIGHT_PARAM_LOOPS", "1"))
    parts = parts_of(total, len(os.sched_getaffinity(0)))
    if not parts or loops < 1:
        print(f"There is nothing to test: {free // _MIB} MiB are free, {total // _MIB} MiB were to be tested {loops} times.")
        return 1
    print(f"testing {sum(parts)} MiB of {free // _MIB} MiB free, in {len(parts)} parts, {loops} times", flush=True)
    children = [
        subprocess.Popen(["memtester", f"{size}M", str(loops)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for size in parts
    ]
    failed = 0
    for number, child in enumerate(children, 1):
        output, _ = child.communicate()
        why = reasons(child.returncode)
        print(f"part {number}: {'good' if not why else ', '.join(why)}", flush=True)
        if why:
            failed += 1
            print(output, flush=True)
    if result := os.environ.get("METALWRIGHT_RESULT"):
        told = {"bytes": sum(parts) * _MIB, "processes": len(parts), "loops": loops, "failed": failed}
        Path(result).write_text(json.dumps(told), encoding="utf-8")
    return 1 if failed else 0


def available(meminfo: str) -> int:
    """Bytes that could be had without swapping, by ``/proc/meminfo`` (proc(5))."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def amount(free: int, size: str | None, share: int) -> int:
    """How many bytes are tested: those asked for, or a share of the free ones; never so many that nothing is left."""
    wanted = int(size) if size else free * min(max(share, 0), 100) // 100
    return max(min(wanted, free - LEFT_FREE), 0)


def parts_of(total: int, processors: int) -> list[int]:
    """Sizes in MiB, one a process."""
    count = max(min(processors, total // SMALLEST_PART), 1)
    size = total // count // _MIB
    return [size] * count if size else []


def reasons(status: int) -> list[str]:
    """What an exit status of memtester(8) means; nothing for a good one."""
    if status == 0:
        return []
    return [text for bit, text in _BAD.items() if status > 0 and status & bit] or [f"memtester ended with status {status}"]


if __name__ == "__main__":
    sys.exit(main())
