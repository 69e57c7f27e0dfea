# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of an engine on this host: where they are, what they say of a configuration, and which process runs one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from metalwright.errors import Unavailable


def program(name: str) -> str:
    """The path of a program, also where Debian has it and users have no such path; the name itself if it is nowhere."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") or name


def ask(command: Sequence[str], package: str, environment: Mapping[str, str] | None = None) -> tuple[bool, str]:
    """Whether a checker is content, and all it said. Raises ``Unavailable`` (``engine_missing``)."""
    try:
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            env=os.environ | (environment or {}),
        )
    except FileNotFoundError:
        message = f"There is no {command[0]} on this host."
        raise Unavailable("engine_missing", message, f"Install it: apt install {package}", engine=command[0]) from None
    return done.returncode == 0, done.stdout


def running(pid_file: Path, argument: Path) -> int | None:
    """The process in a pid file, if it still is the one that was given this argument."""
    try:
        pid = int(pid_file.read_text())
        return pid if str(argument).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") else None
    except (OSError, ValueError):
        return None


def hang_up(pid: int, name: str, number: signal.Signals = signal.SIGHUP) -> None:
    """Send SIGHUP, or another signal. A process that is gone is started again by whoever supervises it, and reads everything.

    Raises ``Unavailable`` (``engine_unreachable``) for a process of another user.
    """
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        message = f"{name} (process {pid}) belongs to another user."
        raise Unavailable("engine_unreachable", message, "Run this as the user the controller runs as.", engine=name) from None
