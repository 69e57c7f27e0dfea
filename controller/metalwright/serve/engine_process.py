# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one process of the DHCP and DNS engine: starts it again when it ends, and goes back to its last good configuration.

A process that ends with status 0 after it has come up was asked to, to read a new configuration: it is started at once. One that
dies is started like a service: with back-off, and the event log is told. One that does not come up with a configuration is
started with the last good one instead, and the event log is told why.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from metalwright.network.engines import Process
from metalwright.network.engines.seen import DhcpSeen
from metalwright.serve import linux
from metalwright.serve.backoff import Backoff
from metalwright.serve.children import told_end

log = structlog.get_logger()

START_SECONDS = 30.0
"""A process that has not said by then that it serves is ended, as one that did not come up."""

Report = Callable[[str, str, dict[str, Any]], None]
"""Takes the kind, the message and the data of an event."""


class EngineProcess:
    """One process and the thread that looks after it.

    ``seen`` is called in that thread with every DHCP packet that the log tells of. ``prefix`` is put before the command.
    """

    def __init__(self, process: Process, seen: Callable[[DhcpSeen], None], report: Report, *, prefix: Sequence[str] = ()) -> None:
        self._process = process
        self._seen = seen
        self._report = report
        self._prefix = list(prefix)
        self._running: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._started = False
        self._last_words = ""
        self._thread = threading.Thread(target=self._run, name=process.name)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._running.pid if self._running is not None and self._running.returncode is None else None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the process and do not start it again."""
        self._stopping.set()
        if self._running is not None and self._running.poll() is None:
            self._running.terminate()

    def join(self) -> None:
        """Wait until the process is gone after ``stop``."""
        self._thread.join()

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                death = self._once()
            except Exception as error:  # no program, no process or no room for one: nobody else would ever start it again
                log.exception("could not be run", service=self._process.name)
                death = f"could not be run: {error}"
            if death:
                wait = backoff.after(time.monotonic() - began)
                self._told_dead(death, wait)
                self._stopping.wait(wait)

    def _once(self) -> str:
        """Run the process to its end; returns how it died, or nothing where it is to be started again at once."""
        configuration = self._process.configuration
        text = configuration.text() or ""
        status = self._serve(text)
        if self._stopping.is_set():
            return ""
        if self._started and status == 0:
            log.info("restarted with a new configuration", service=self._process.name)
            return ""
        if not self._started and status != 0 and configuration.roll_back(text, self._last_words or told_end(status)):
            self._told_rolled_back(told_end(status))
            return ""
        return told_end(status)

    def _serve(self, text: str) -> int:
        """Run the process to its end; returns its exit status."""
        parent = os.getpid()
        self._started, self._last_words = False, ""
        self._running = subprocess.Popen(
            [*self._prefix, *self._process.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,  # Ctrl-C in the terminal is the supervisor's affair
            preexec_fn=lambda: linux.die_with(parent),  # noqa: PLW1509  (one system call; takes no lock that a thread could hold)
        )
        silence = threading.Timer(START_SECONDS, self._running.kill)
        silence.daemon = True
        with self._running as process:
            try:
                silence.start()
                if self._stopping.is_set():
                    process.terminate()
                for line in process.stdout or ():
                    self._take_in(line, text, silence)
            except BaseException:  # its end is waited for in any case
                process.kill()
                raise
        silence.cancel()
        return process.returncode

    def _take_in(self, line: str, text: str, silence: threading.Timer) -> None:
        """Whatever is wrong here, with a line that nobody foresaw or a full disk, the process serves on."""
        try:
            if not self._started and self._process.started.search(line):
                silence.cancel()
                self._started = True
                self._process.configuration.accept(text)
            self._heard(line.rstrip())
        except Exception:
            log.exception("not taken in", service=self._process.name, line=line.rstrip())

    def _heard(self, line: str) -> None:
        told = self._process.hear(line)
        if isinstance(told, str):
            self._last_words = told
            log.info(told, service=self._process.name)
            return
        for seen in told or ():
            log.info("DHCP", packet=seen.kind, mac=seen.mac, address=seen.address, note=seen.note or None)
            self._seen(seen)

    def _told_dead(self, how: str, wait: float) -> None:
        name, words = self._process.name, f" ({self._last_words})" if self._last_words else ""
        log.warning("service died", service=name, how=how, last_words=self._last_words, restart_in=wait)
        again = f"starts again in {wait:g} s" if wait else "is started again"
        self._report(
            "service.restarted", f"service {name} {how}{words} and {again}", {"service": name, "how": how, "delay": wait}
        )

    def _told_rolled_back(self, how: str) -> None:
        name, words = self._process.name, self._last_words or how
        log.warning("rolled back", service=name, how=how, last_words=words)
        message = f"{name} did not come up with its new configuration ({words}) and goes on with the last good one"
        self._report("network.rolled_back", message, {"service": name, "how": how, "words": words})
