# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHCP child: runs the processes of the engine, hands on what they say, and watches the wire that they serve.

When this child is killed, the kernel ends the engine's processes with it, and the supervisor starts all of them.
"""

from __future__ import annotations

import signal
import threading
import time
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import select

from metalwright.config import Settings
from metalwright.errors import MetalwrightError
from metalwright.network import engines, router_solicitation
from metalwright.network.engines import succession
from metalwright.network.engines.seen import DhcpSeen
from metalwright.network.state import read
from metalwright.network.turns import turn
from metalwright.serve.engine_process import EngineProcess
from metalwright.serve.foreign_dhcp import ForeignDhcp, ForeignServer
from metalwright.serve.lease_following import LeaseFollowing, write_down
from metalwright.serve.network_following import NetworkFollowing
from metalwright.serve.reports import Reports
from metalwright.serve.sightings import Sighting, Sightings
from metalwright.serve.tallying import Tallying
from metalwright.store import Store, tallies
from metalwright.store.base import utcnow
from metalwright.store.models import Event, Subnet

log = structlog.get_logger()

STOP_SECONDS = 2.0
_FOREIGN = "network.foreign_dhcp"
_TOLD_AGAIN = timedelta(days=1)
"""Until then a foreign server that was told of is not told of again, whatever was restarted."""
_LOOK_AGAIN = 1.0
"""Seconds for which it is remembered whether there is an IPv6 subnet, however often it is asked for."""


class Dhcp:
    """The engine and its processes."""

    def __init__(self, settings: Settings, store: Store, reports: Reports) -> None:
        self._settings = settings
        self._store = store
        self._reports = reports
        self._engine = engines.create(settings)
        self._sightings = Sightings(store)
        self._tallying = Tallying(store)
        self._processes: list[EngineProcess] = []
        self._no_ipv6 = (0.0, True)
        self._stopping = False

    def run(self) -> None:
        """Serve DHCP and DNS until SIGTERM. Raises ``MetalwrightError`` when there is no configuration to start with."""
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._stop())
        signal.signal(signal.SIGHUP, lambda _number, _frame: threading.Thread(target=self._apply_again).start())
        processes = self._prepare()
        self._sightings.start()
        self._tallying.start()
        self._processes = [EngineProcess(process, self._saw, self._reports.put) for process in processes]
        for running in self._processes:
            running.start()
        LeaseFollowing(self._engine, partial(write_down, self._store, clock=utcnow)).start()
        self._answer_router_solicitations()
        self._look_for_foreign_servers()
        if not self._store.is_sqlite:  # another controller may be there, with an engine of its own or with none
            NetworkFollowing(self._store, self._apply).start()
        if self._stopping:
            self._stop()
        for running in self._processes:
            running.join()

    def _prepare(self) -> list[engines.Process]:
        """The processes, with the configuration that the database asks for; with the last good one where that is refused."""
        processes: list[engines.Process] = []
        try:
            self._apply()
        except MetalwrightError as error:
            processes = list(self._engine.processes())
            if not all(process.configuration.text() for process in processes):
                raise
            log.error("started with the last good configuration", reason=error.message, hint=error.hint)
            message = f"DHCP and DNS start with their last good configuration: {error.message}"
            self._reports.put("network.refused", message, error.as_dict())
        taken = succession.take_over(self._settings, self._engine)
        if taken:
            message = f"{taken.count} leases of {taken.former} were taken over by {self._settings.dhcp.engine}"
            self._reports.put("network.engine", message, {"former": taken.former, "leases": taken.count})
        return processes or list(self._engine.processes())

    def _answer_router_solicitations(self) -> None:
        """iPXE waits 15 s for an IPv6 router at every start unless somebody says that there is none, or is one."""
        sock = router_solicitation.open_socket(self._settings.dhcp.interface)
        if sock is not None:
            serve = partial(router_solicitation.serve, sock, self._has_no_ipv6)
            threading.Thread(target=serve, name="router-solicitation", daemon=True).start()

    def _has_no_ipv6(self) -> bool:
        at, answer = self._no_ipv6
        if time.monotonic() - at > _LOOK_AGAIN:
            with self._store.session() as session:
                served = session.scalars(select(Subnet.cidr).where(Subnet.dhcp))
                answer = not any(":" in cidr for cidr in served)
            self._no_ipv6 = (time.monotonic(), answer)
        return answer

    def _stop(self) -> None:
        self._stopping = True
        for process in self._processes:
            process.stop()
        signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)  # SIGALRM ends this process, and the engine's with it

    def _saw(self, seen: DhcpSeen) -> None:
        self._tallying.count(tallies.key("dhcp_packets", packet=seen.kind))
        self._sightings.put(_sighting(seen))

    def _look_for_foreign_servers(self) -> None:
        pair, dhcp = self._settings.hot_standby, self._settings.dhcp
        recent = select(Event.data).where(Event.kind == _FOREIGN, Event.at > utcnow() - _TOLD_AGAIN)
        with self._store.session() as session:
            told = {str(data.get("server")) for data in session.scalars(recent)}
        try:
            ForeignDhcp(dhcp.interface, {*dhcp.other_servers, pair.primary, pair.standby, *told}, self._tell_of_foreign).start()
        except OSError as error:
            log.warning("foreign DHCP servers are not noticed", interface=dhcp.interface, reason=error.strerror)

    def _tell_of_foreign(self, found: ForeignServer) -> None:
        log.warning("foreign DHCP server", server=found.server, mac=found.mac, offered=found.offered)
        message = (
            f"another DHCP server answers on {self._settings.dhcp.interface}: {found.server} ({found.mac}) gives {found.offered}"
        )
        data = {"server": found.server, "mac": found.mac, "offered": found.offered, "interface": self._settings.dhcp.interface}
        self._reports.put(_FOREIGN, message, data)

    def _apply(self) -> None:
        with turn(self._settings):
            with self._store.session() as session:
                state = read(session, self._settings)
            self._engine.apply(state)

    def _apply_again(self) -> None:
        for process in self._engine.processes():
            process.configuration.forget_refusal()
        try:
            self._apply()
        except MetalwrightError as error:
            log.error(error.message, hint=error.hint)


def _sighting(seen: DhcpSeen) -> Sighting:
    address = f" {seen.address}" if seen.address else ""
    note = f" ({seen.note})" if seen.note else ""
    data = {"packet": seen.kind, "mac": seen.mac, "address": seen.address, "interface": seen.interface}
    message = f"DHCP {seen.kind}{address} for {seen.mac or 'a DHCPv6 client'}{note}"
    return Sighting(
        "boot.dhcp", f"boot.dhcp/{seen.kind}", message, data, mac=seen.mac, address=None if seen.mac else seen.address
    )
