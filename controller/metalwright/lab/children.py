# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack daemon's processes: started, watched, started again with back-off when they end, and ended with the daemon.

``setpriv --pdeathsig`` has the kernel end them too when the daemon is killed outright. The signal comes when the *thread*
that started them ends, so all of this happens in one thread that lives as long as the daemon.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger()

BACKOFF = (0.3, 1.0, 2.0, 5.0, 10.0)  # seconds before a restart
HEALTHY = 30.0  # seconds of life after which the next death is the first again
GRACE = 15.0  # seconds between asking and killing


@dataclass(frozen=True)
class Child:
    """A process to keep alive. ``line`` is written to its standard input, for what must not be on a command line."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    pass_fds: tuple[int, ...] = ()
    line: str = ""


class _Kept:
    """One child and what has become of it."""

    def __init__(self, child: Child, logs: Path) -> None:
        self.child = child
        self.log = logs / f"{child.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.pidfd = -1
        self.started = 0.0
        self.due = 0.0
        self.deaths = 0
        self.restarts = 0

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self.child.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self.child.environment,
                pass_fds=self.child.pass_fds,
                start_new_session=True,
            )
        assert self.process.stdin is not None  # noqa: S101 - it was opened with a pipe
        with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:
            pipe.write(f"{self.child.line}\n".encode() if self.child.line else b"")
        self.pidfd = os.pidfd_open(self.process.pid)
        self.started = time.monotonic()
        log.info("started", child=self.child.name, pid=self.process.pid)

    def ended(self) -> None:
        assert self.process is not None  # noqa: S101 - only a started child ends
        # What it has left behind would hold its ports; its id is not anyone else's until it is waited for.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        os.close(self.pidfd)
        now = time.monotonic()
        self.deaths = 1 if now - self.started > HEALTHY else self.deaths + 1
        self.restarts += 1
        self.due = now + BACKOFF[min(self.deaths, len(BACKOFF)) - 1]
        self.process = None
        log.warning("ended", child=self.child.name, status=status, again_in=round(self.due - now, 1))


class Children:
    """All children of the daemon."""

    def __init__(self, children: Sequence[Child], logs: Path) -> None:
        self._kept = [_Kept(child, logs) for child in children]
        self._wake, self._waker = os.pipe()

    def status(self) -> dict[str, Any]:
        """Return by name: ``pid`` (None while waiting to be started again) and ``restarts``."""
        return {
            kept.child.name: {"pid": kept.process.pid if kept.process else None, "restarts": kept.restarts} for kept in self._kept
        }

    def stop(self) -> None:
        """Make ``run`` return. May be called from a signal handler."""
        os.write(self._waker, b"\0")

    def run(self) -> None:
        """Keep the children alive until ``stop``, then end them all."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for kept in self._kept:
                    if kept.process is None and kept.due <= time.monotonic():
                        kept.start()
                        selector.register(kept.pidfd, selectors.EVENT_READ, kept)
                waiting = [kept.due for kept in self._kept if kept.process is None]
                ready = selector.select(max(0.0, min(waiting) - time.monotonic()) if waiting else None)
                for key, _ in ready:
                    if key.fd == self._wake:
                        self._end()
                        return
                    selector.unregister(key.fd)
                    key.data.ended()

    def _end(self) -> None:
        alive = [(kept.process, kept.pidfd) for kept in self._kept if kept.process is not None]
        for process, _ in alive:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process, pidfd in alive:
            select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
            # It, if it does not end, and what it has started; its id is not anyone else's until it is waited for.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(pidfd)
