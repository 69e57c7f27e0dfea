# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process: how it is forked, and how its death is told."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from metalwright.errors import MetalwrightError
from metalwright.serve import linux
from metalwright.serve.backoff import Backoff

log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """What a child does: ``run`` works until SIGTERM; when it returns or raises, the child ends."""

    name: str
    run: Callable[[], None]


@dataclass
class Child:
    """A service and the process that carries it out now, if any. Times are seconds of ``time.monotonic``."""

    service: Service
    pid: int | None = None
    started: float = 0.0
    due: float | None = 0.0
    """When it is to be started; None while it runs."""
    backoff: Backoff = field(default_factory=Backoff)

    def start(self, now: float) -> None:
        """Fork the process."""
        self.pid = _fork(self.service)
        self.started, self.due = now, None

    def died(self, now: float) -> float:
        """Note that the process is gone; returns the seconds until it is started again."""
        wait = self.backoff.after(now - self.started)
        self.pid, self.due = None, now + wait
        return wait

    def signal(self, number: int) -> None:
        """Send the process a signal if there is one."""
        if self.pid is not None:
            os.kill(self.pid, number)


def told_end(code: int) -> str:
    """Words for how a process ended, minus the signal or its exit code: ``was killed by SIGKILL``, ``ended with code 1``."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _fork(service: Service) -> int:
    parent = os.getpid()
    gc.freeze()  # what exists now is never collected, so a collection in the child does not unshare its pages
    pid = os.fork()
    gc.enable()
    if pid:
        return pid
    code = 1
    try:
        linux.die_with(parent)
        linux.set_name(f"mw-{service.name}")
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        service.run()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except MetalwrightError as error:
        log.error(error.message, service=service.name, code=error.code, hint=error.hint)
    except BaseException:
        log.exception("service failed", service=service.name)
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)  # not sys.exit: threads of requests that still wait must not hold the process
