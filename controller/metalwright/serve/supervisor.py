# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the services running: starts each in a child, starts it again when it dies, ends all of them in order.

One thread, no timers: the supervisor sleeps in ``sigtimedwait`` until a child dies, somebody signals it, or a restart is due.
It never touches the database, so nothing can hold it up.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

import structlog

from metalwright.serve.children import Child, Service, told_end

log = structlog.get_logger()

GRACE = 5.0
"""Seconds that children get to end by themselves."""
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LONG = 3600.0


class Supervisor:
    """Runs services until SIGTERM or SIGINT.

    ``died`` is told each death: name of the service, how it ended, seconds until it starts again. ``notify`` gets the lines of
    ``sd_notify``. ``hangup`` is called on SIGHUP with the children's process ids by name.
    """

    def __init__(
        self,
        services: Sequence[Service],
        died: Callable[[str, str, float], None],
        notify: Callable[[str], None],
        hangup: Callable[[dict[str, int]], None],
    ) -> None:
        self._children = [Child(service) for service in services]
        self._died = died
        self._notify = notify
        self._hangup = hangup

    def run(self) -> None:
        """Start all and keep them; returns after the last has ended."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._start_due()
        self._notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=Serving.")
        while True:
            received = signal.sigtimedwait(_SIGNALS, self._seconds_to_next_start())
            number = received.si_signo if received else None
            if number in (signal.SIGTERM, signal.SIGINT):
                break
            if number == signal.SIGHUP:
                self._hangup({child.service.name: child.pid for child in self._children if child.pid})
            self._reap(restart=True)
            self._start_due()
        self._stop()

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.due is not None and child.due <= now:
                child.start(now)

    def _seconds_to_next_start(self) -> float:
        now = time.monotonic()
        return min((max(child.due - now, 0.0) for child in self._children if child.due is not None), default=_LONG)

    def _reap(self, *, restart: bool) -> None:
        for pid, status in _ended():
            child = next((each for each in self._children if each.pid == pid), None)
            if child is None:
                continue
            wait = child.died(time.monotonic())
            if restart:
                how = told_end(os.waitstatus_to_exitcode(status))
                log.warning("service died", service=child.service.name, pid=pid, how=how, restart_in=wait)
                self._died(child.service.name, how, wait)

    def _stop(self) -> None:
        self._notify("STOPPING=1")
        log.info("stopping")
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while any(child.pid for child in self._children):
            left = deadline - time.monotonic()
            if left <= 0:
                for child in self._children:
                    child.signal(signal.SIGKILL)
            signal.sigtimedwait((signal.SIGCHLD,), max(left, 0.1))
            self._reap(restart=False)
        log.info("stopped")


def _ended() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))
