# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM if it really boots Linux, else QEMU's own emulation.

That /dev/kvm opens says little: inside some hypervisors it opens and a 64-bit guest hangs. So a kernel is booted, without a
root file system, and has to get as far as to complain about that. The verdict holds until the host starts again.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import Literal, NamedTuple

LIMIT = 10.0
PROOF = b"Kernel panic - not syncing: VFS"


class Accelerator(NamedTuple):
    """How machines are run, and why so."""

    kind: Literal["kvm", "tcg"]
    reason: str


def choose(kernel: Path | None, cache: Path) -> Accelerator:
    """Return the accelerator to use: the cached verdict of this start of the host, or that of a new probe with ``kernel``."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["boot"] == boot:
            return Accelerator(known["kind"], known["reason"])
    except (FileNotFoundError, ValueError, KeyError):
        pass
    verdict = probe(kernel)
    cache.write_text(json.dumps({"boot": boot, "kind": verdict.kind, "reason": verdict.reason}), encoding="utf-8")
    return verdict


def probe(kernel: Path | None, limit: float = LIMIT) -> Accelerator:
    """Boot ``kernel`` under KVM and wait at most ``limit`` seconds for its word."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        return Accelerator("tcg", f"/dev/kvm: {error.strerror}")
    if kernel is None:
        return Accelerator("tcg", "there is no kernel to try KVM with")
    # fmt: off
    command = [
        "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none", "-serial", "stdio", "-kernel", str(kernel),
        "-append", "console=ttyS0 earlyprintk=serial,ttyS0,115200 panic=-1",
    ]
    # fmt: on
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            said = _listen(process, limit)
        finally:
            process.kill()
    if PROOF in said:
        return Accelerator("kvm", "a kernel boots under it")
    lines = said.decode(errors="replace").strip().splitlines()
    last = f"its last words: {lines[-1].strip()[:160]}" if lines else "it said nothing"
    return Accelerator("tcg", f"a kernel does not boot under KVM here; {last}")


def _listen(process: subprocess.Popen[bytes], limit: float) -> bytes:
    """Return what the machine says until it has given proof, has ended, or the time is up."""
    assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
    said, end = b"", time.monotonic() + limit
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while PROOF not in said and (left := end - time.monotonic()) > 0:
            if selector.select(left):
                heard = os.read(process.stdout.fileno(), 4096)
                if not heard:
                    break
                said += heard
    return said
