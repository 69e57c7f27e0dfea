# SPDX-License-Identifier: GPL-3.0-or-later
"""One script: what it finds around it, and what is read from it when it has ended.

All of it is in a directory in memory that is removed afterwards.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .abort import Abort
from .children import run as run_program
from .console import Console
from .errors import CommandFailed
from .group import TAIL_BYTES, Tail, run_group

SKIPPED = 77
"""The exit status of a script that has nothing to do on this machine (automake's custom)."""
LARGEST_RESULT = 64 << 10
_REBOOT = """#!/bin/sh
# The agent restarts the machine, once it has told the controller what this script has printed.
touch '{mark}' && kill -s KILL 0
"""


class Run(NamedTuple):
    """One run, as the controller wants it."""

    id: str
    name: str
    kind: str
    timeout_seconds: float
    parallel: bool
    may_reboot: bool
    required: bool
    parameters: Mapping[str, Any]
    reboots: int

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Run:
        """Read one of the controller's ``runs``. Raises ``KeyError`` and ``ValueError`` for what is none."""
        return cls(
            id=str(said["id"]),
            name=str(said["name"]),
            kind=str(said["kind"]),
            timeout_seconds=float(said["timeout_seconds"]),
            parallel=bool(said.get("parallel")),
            may_reboot=bool(said.get("may_reboot")),
            required=bool(said.get("required", True)),
            parameters=said.get("parameters") or {},
            reboots=int(said.get("reboots") or 0),
        )


class Outcome(NamedTuple):
    """How a run ended, as it is told to the controller."""

    status: str
    exit_status: int | None
    output: str
    result: dict[str, Any] | None
    runtime_seconds: float | None


def execute(run: Run, source: bytes, directory: Path, url_base: str, tail: Tail, abort: Abort) -> tuple[Outcome, bool]:
    """Run a script in ``directory``; return how it ended and whether it wants the machine restarted.

    ``tail`` takes what it prints. Raises ``Aborted``.
    """
    script, result, mark = directory / "script", directory / "result.json", directory / "reboot-wanted"
    script.write_bytes(source)
    script.chmod(0o700)
    (directory / "bin").mkdir()
    (directory / "work").mkdir()
    if run.may_reboot:
        reboot = directory / "bin/reboot"
        reboot.write_text(_REBOOT.format(mark=mark), encoding="utf-8")
        reboot.chmod(0o700)
    environment = _environment(run, directory, result, url_base)
    try:
        ended = run_group([str(script)], abort, tail, cwd=directory / "work", env=environment, timeout=run.timeout_seconds)
    except (OSError, ValueError) as error:  # no such interpreter, or a parameter that no environment can hold
        return Outcome("failed", None, f"The script can not be started: {_why(error)}\n", None, 0.0), False
    output = text(tail.content())
    if mark.exists():
        return Outcome("running", None, output, None, ended.seconds), True
    found, complaint = read_result(result)
    if complaint:
        output = f"{output}\nmetalwright: what the script wrote to METALWRIGHT_RESULT is not used: {complaint}\n"
    seconds = round(ended.seconds, 3)
    if ended.timed_out:
        return Outcome("timeout", None, _end(output), found, seconds), False
    status = "passed" if ended.status == 0 else "skipped" if ended.status == SKIPPED else "failed"
    return Outcome(status, ended.status, _end(output), found, seconds), False


def _environment(run: Run, directory: Path, result: Path, url_base: str) -> dict[str, str]:
    given = {f"METALWRIGHT_PARAM_{name.upper().replace('-', '_')}": _word(value) for name, value in run.parameters.items()}
    return {
        **given,
        "LC_ALL": "C.UTF-8",
        "PATH": f"{directory / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(directory / "work"),
        "METALWRIGHT_RESULT": str(result),
        "METALWRIGHT_REBOOTS": str(run.reboots),
        "METALWRIGHT_URL_BASE": url_base,
    }


def _word(value: object) -> str:
    """Return a parameter as a script reads it: text as it is, everything else as JSON; nothing for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def read_result(path: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the JSON object that a script has written, and what is wrong with the file; nothing is wrong with none.

    The file is whatever the script made of it: a link, a pipe or more than ``LARGEST_RESULT`` bytes are not read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, _why(error)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None, "it is not a plain file"
        content = os.read(handle, LARGEST_RESULT + 1)
    finally:
        os.close(handle)
    if len(content) > LARGEST_RESULT:
        return None, f"it is larger than {LARGEST_RESULT} bytes"
    if not content.strip():
        return None, ""
    try:
        found = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return None, f"it is not JSON: {error}"
    return (found, "") if isinstance(found, dict) else (None, "it is not a JSON object")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON (RFC 8259)")


def text(content: bytes) -> str:
    """Return what a program printed as lines of printable text."""
    lines = content.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _end("".join(character for character in lines if character.isprintable() or character in "\n\t"))


def _end(output: str) -> str:
    """Cut to ``TAIL_BYTES`` of UTF-8."""
    return output.encode(errors="replace")[-TAIL_BYTES:].decode(errors="ignore")


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        return "it does not begin with #! and the path of a program"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextmanager
def run_directory(console: Console) -> Iterator[Path]:
    """Make a directory for a run and remove it, but never what the script has mounted there."""
    directory = Path(tempfile.mkdtemp(prefix="metalwright-script-"))
    try:
        yield directory
    finally:
        if _unmount_below(directory):
            shutil.rmtree(directory, ignore_errors=True)
        else:
            console.say(f"scripts: {directory} is left as it is: something is mounted in it")


def _unmount_below(directory: Path) -> bool:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    below = [place for place in (line.split(" ")[1] for line in mounts) if place.startswith(f"{directory}/")]
    try:
        for place in sorted(below, key=len, reverse=True):
            run_program(["umount", place.encode().decode("unicode_escape")], Abort())
    except CommandFailed:
        return False
    return True
