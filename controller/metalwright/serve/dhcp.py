# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHCP child: runs the engine's process, dnsmasq, starts it anew when it ends, and reads what it says.

An engine that needs its process restarted ends it (``network.engines.Change.RESTART``, status 0); it is started at once with the
new configuration. One that dies is started like a service: with back-off, and the event log is told. When this child is killed,
the kernel ends the engine's process with it, and the supervisor starts both.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time

import structlog

from metalwright.config import Settings
from metalwright.errors import MetalwrightError
from metalwright.network import engines, router_solicitation
from metalwright.network.engines.dnsmasq import DhcpSeen, parse_log
from metalwright.network.state import read
from metalwright.serve import linux
from metalwright.serve.backoff import Backoff
from metalwright.serve.children import told_end
from metalwright.serve.reports import Reports
from metalwright.serve.sightings import Sighting, Sightings
from metalwright.serve.tallying import Tallying
from metalwright.store import Store, tallies

log = structlog.get_logger()

NAME = "dnsmasq"
STOP_SECONDS = 2.0
_DETAIL = re.compile(r"dnsmasq-dhcp(\[\d+\])?: \d+ ")
"""Lines of ``log-dhcp`` about the parts of one packet."""


class Dhcp:
    """The engine and its process."""

    def __init__(self, settings: Settings, store: Store, reports: Reports) -> None:
        self._settings = settings
        self._store = store
        self._reports = reports
        self._engine = engines.create(settings)
        self._interface = settings.dhcp.interface
        self._sightings = Sightings(store)
        self._tallying = Tallying(store)
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._last_words = ""

    def run(self) -> None:
        """Serve DHCP and DNS until SIGTERM. Raises ``MetalwrightError`` when the first configuration can not be made."""
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._stop())
        signal.signal(signal.SIGHUP, lambda _number, _frame: threading.Thread(target=self._apply_again).start())
        self._apply()
        command = self._engine.command()
        if command is None:
            return
        self._sightings.start()
        self._tallying.start()
        self._answer_router_solicitations()
        backoff = Backoff()
        while not self._stopping.is_set():
            started = time.monotonic()
            status = self._serve(command)
            if self._stopping.is_set():
                return
            wait = backoff.after(time.monotonic() - started)
            if status == 0:
                log.info("restarted with a new configuration", service=NAME)
            else:
                self._report(told_end(status), wait)
            self._stopping.wait(wait)

    def _answer_router_solicitations(self) -> None:
        """iPXE waits 15 s for an IPv6 router at every start unless somebody says that there is none."""
        sock = router_solicitation.open_socket(self._interface)
        if sock is not None:
            threading.Thread(target=router_solicitation.serve, args=(sock,), name="router-solicitation", daemon=True).start()

    def _serve(self, command: list[str]) -> int:
        """Run the process to its end; returns its exit status."""
        parent = os.getpid()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,  # Ctrl-C in the terminal is the supervisor's affair
            preexec_fn=lambda: linux.die_with(parent),  # noqa: PLW1509  (one system call; takes no lock that a thread could hold)
        )
        with self._process as process:
            if self._stopping.is_set():
                process.terminate()
            for line in process.stderr or ():
                self._heard(line.rstrip())
        return self._process.returncode

    def _stop(self) -> None:
        self._stopping.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)  # SIGALRM ends this process, and the engine's with it

    def _heard(self, line: str) -> None:
        seen = parse_log(line)
        if seen is not None:
            log.info("DHCP", packet=seen.kind, mac=seen.mac, address=seen.address, note=seen.note or None)
            self._tallying.count(tallies.key("dhcp_packets", packet=seen.kind))
            self._sightings.put(_sighting(seen))
        elif not _DETAIL.match(line):
            self._last_words = line
            log.info(line, service=NAME)

    def _report(self, how: str, wait: float) -> None:
        words = f" ({self._last_words})" if self._last_words else ""
        log.warning("service died", service=NAME, how=how, last_words=self._last_words, restart_in=wait)
        data = {"service": NAME, "how": how, "delay": wait}
        again = f"starts again in {wait:g} s" if wait else "is started again"
        self._reports.put("service.restarted", f"service {NAME} {how}{words} and {again}", data)

    def _apply(self) -> None:
        with self._store.session() as session:
            state = read(session, self._settings)
        self._engine.apply(state)

    def _apply_again(self) -> None:
        try:
            self._apply()
        except MetalwrightError as error:
            log.error(error.message, hint=error.hint)


def _sighting(seen: DhcpSeen) -> Sighting:
    address = f" {seen.address}" if seen.address else ""
    note = f" ({seen.note})" if seen.note else ""
    data = {"packet": seen.kind, "mac": seen.mac, "address": seen.address, "interface": seen.interface}
    return Sighting("boot.dhcp", f"boot.dhcp/{seen.kind}", f"DHCP {seen.kind}{address} for {seen.mac}{note}", data, mac=seen.mac)
