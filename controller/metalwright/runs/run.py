# SPDX-License-Identifier: GPL-3.0-or-later
"""One run, seen from the worker: a guard process (``guard``) and the lines of JSON that it prints."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from metalwright.runs import processes

PATIENCE = 10.0
"""Seconds that the guard gets to end all that it has started; it needs milliseconds."""
_PIECE = 64 << 10


class Run:
    """A context manager: when it is left, no process of the run is left either.

    The environment of the run is made from nothing but a path and a home of its own: neither the controller's settings nor its
    secrets are in it. An ``ansible.cfg`` beside the playbooks is read.
    """

    def __init__(self, directory: Path, playbook: Path) -> None:
        self._directory = directory
        self._complaints = directory / "complaints"
        binaries = Path(sys.executable).parent
        environment = {
            "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(directory / "home"),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ANSIBLE_HOST_KEY_CHECKING": "true",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",  # a master's socket would want a shorter path than ours may be
            "ANSIBLE_PIPELINING": "true",
            processes.MARK: str(directory),
        }
        with self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "metalwright.runs.guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=directory,
                env=environment,
                start_new_session=True,
            )
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101 - pipes, as asked for
        self._wanted, self._said = self._process.stdin, self._process.stdout
        request = {"directory": str(directory), "project": str(playbook.parent), "playbook": playbook.name}
        self._wanted.write(json.dumps(request).encode() + b"\n")
        self._wanted.flush()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._wanted.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
        processes.end_marked(self._directory)  # what a guard that was killed could not end

    def messages(self, pause: float) -> Iterator[dict[str, Any] | None]:
        """What the guard says, message by message, and None whenever it has said nothing for ``pause`` seconds."""
        descriptor = self._said.fileno()
        rest = b""
        while True:
            if not select.select([descriptor], [], [], pause)[0]:
                yield None
                continue
            piece = os.read(descriptor, _PIECE)
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            yield from (json.loads(line) for line in lines)

    def complaint(self) -> str:
        """What the guard or Ansible's own process wrote to standard error; for a run that ended without a word."""
        return self._complaints.read_text(encoding="utf-8", errors="replace").strip()
