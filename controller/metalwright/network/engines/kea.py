# SPDX-License-Identifier: GPL-3.0-or-later
"""One of Kea's servers: its configuration is checked, written, and read again by the running server, which never stops for it.

Kea 2.2 without its commercial hooks has no command for one reservation, so the whole configuration is read again
(``config-reload``). That drops no lease and no other client notices but one that asks in that very moment: it asks once more.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from ipaddress import ip_address

from metalwright.config import Settings
from metalwright.errors import Invalid, Unavailable
from metalwright.network.engines import Process, kea_config, kea_control, kea_leases, kea_log, software
from metalwright.network.engines.configuration import Configuration
from metalwright.network.engines.kea_config import Family
from metalwright.network.engines.leases import Lease
from metalwright.network.engines.own_addresses import Interfaces
from metalwright.network.model import NetworkState

_STARTS_WITHIN = 10.0
_POLL = 0.02


class KeaServer:
    """``kea-dhcp4`` or ``kea-dhcp6``, in ``<data_dir>/kea``."""

    def __init__(self, settings: Settings, family: Family) -> None:
        self._settings = settings
        self._family: Family = family
        self.name = f"kea-dhcp{family}"
        self.directory = settings.data_dir.resolve() / "kea"
        self.configuration = Configuration(self.directory / f"{self.name}.conf")
        self.lease_file = self.directory / f"leases{family}.csv"
        self._socket = self.directory / f"{self.name}.sock"

    def process(self) -> Process:
        """The server in the foreground."""
        command = ("env", *(f"{name}={value}" for name, value in self._places().items()), software.program(self.name))
        started = re.compile(rf"DHCP{self._family}_STARTED")
        hear = kea_log.Listener(self._settings.dhcp.interface).hear
        return Process(self.name, (*command, "-c", str(self.configuration.path)), self.configuration, started, hear)

    def prepare(self, state: NetworkState, ours: Interfaces) -> str:
        """The configuration of that state, which Kea's own checker accepts. Nothing is changed.

        What differs from the running one in reservations alone is judged by the server itself, as it reads it.

        Raises ``Invalid`` (``dhcp_config_refused``, with Kea's words; ``network_rolled_back``) or ``Unavailable``
        (``engine_missing``).
        """
        text = kea_config.text(self._settings, state, self._family, ours, self.directory)
        good = self.configuration.good()
        self.configuration.check_not_refused(text, self.name)
        if good is None or kea_config.skeleton(good) != kea_config.skeleton(text):
            self._check(text)
        return text

    def commit(self, text: str) -> bool:
        """Have the server use a configuration that was prepared; False if it does already.

        Raises ``Invalid`` (``network_rolled_back``) if it does not accept it, and then goes on with the last good one;
        ``Unavailable`` (``engine_unreachable``).
        """
        if self.configuration.text() == text == self.configuration.good():
            return False
        changed = self.configuration.text() != text
        if changed:
            self.configuration.write(text)
        if self._runs():
            self._reload(text)
            return True
        return changed

    def release(self, state: NetworkState) -> None:
        """End leases of addresses that belong to another machine now, or to nobody: at once, and not when they run out.

        An address of a dynamic range is kept by whoever has it, unless it has become another machine's.
        """
        stale = self._stale(state)
        if stale and not self._runs():
            kea_leases.forget(self.lease_file, stale, self._heading)
            return
        for lease in stale:
            try:
                kea_control.command(self._socket, f"lease{self._family}-del", {"ip-address": lease.address})
            except kea_control.Refused as refusal:
                message = f"{lease.address} is still on lease to {lease.mac or lease.duid}: {refusal}."
                hint = "It is tried again; the lease ends by itself."
                raise Unavailable("lease_stuck", message, hint, address=lease.address, mac=lease.mac) from None

    def leases(self) -> list[Lease]:
        """What the server has written down."""
        return kea_leases.read(self.lease_file)

    def take_over(self, leases: Sequence[Lease]) -> None:
        """Write down what another engine gave; only while the server does not run."""
        kea_leases.add(self.lease_file, [lease for lease in leases if lease.family == self._family], self._heading)

    def _heading(self) -> str:
        _, said = software.ask([self.name, "-v"], f"{self.name}-server")
        return kea_leases.heading(self._family, tuple(map(int, re.findall(r"\d+", said)[:2])))

    def _stale(self, state: NetworkState) -> list[Lease]:
        holders = {host.address: host.mac for host in state.hosts}
        networks = [network for network in state.networks if network.family == self._family]
        pools = [(ip_address(first), ip_address(last)) for network in networks for first, last in network.dynamic]
        now = time.time()
        stale = []
        for lease in self.leases():
            if lease.ended(now):
                continue
            if lease.address in holders:
                wrong = lease.mac is not None and holders[lease.address] != lease.mac
            else:
                address = int(ip_address(lease.address))
                wrong = not any(int(first) <= address <= int(last) for first, last in pools)
            if wrong:
                stale.append(lease)
        return stale

    def _check(self, text: str) -> None:
        candidate = self.directory / f".{self.name}.candidate"
        candidate.write_text(text, encoding="utf-8")
        try:
            content, said = software.ask([self.name, "-t", str(candidate)], f"{self.name}-server", self._places())
        finally:
            candidate.unlink()
        if not content:
            words = kea_log.complaint(said).replace(str(candidate), f"{self.name}.conf")
            message = f"{self.name} refuses its configuration: {words}. The former one stays."
            raise Invalid("dhcp_config_refused", message, "Look at the subnets and the [dhcp] settings.", words=words)

    def _reload(self, text: str) -> None:
        try:
            kea_control.command(self._socket, "config-reload")
        except kea_control.Refused as refusal:
            if self.configuration.roll_back(text, str(refusal)):
                self._reload_former(text, refusal)
            self.configuration.check_not_refused(text, self.name)
            raise Unavailable(
                "engine_unreachable", f"{self.name} did not read its configuration: {refusal}.", "", engine=self.name
            ) from None
        self.configuration.accept(text)

    def _reload_former(self, text: str, refusal: kea_control.Refused) -> None:
        """Have the server read the last good configuration in the place of one that it has refused.

        Raises ``Unavailable`` (``engine_unreachable``) if it refuses that as well. It answers nobody then, so the one that it
        refused first is put back: whatever is wanted next, that or the last good one, is read again.
        """
        try:
            kea_control.command(self._socket, "config-reload")
        except kea_control.Refused as again:
            self.configuration.forget_refusal()
            self.configuration.write(text)
            message = f"{self.name} did not read its configuration: {refusal}. Nor did it read the last good one again: {again}."
            hint = "It is tried again; look at the controller's log."
            raise Unavailable("engine_unreachable", message, hint, engine=self.name) from None

    def _runs(self) -> bool:
        """Whether a server runs; one that is starting is waited for, for it may have read what was there before."""
        until = time.monotonic() + _STARTS_WITHIN
        while not kea_control.listens(self._socket):
            if not self._starting() or time.monotonic() > until:
                return False
            time.sleep(_POLL)
        return True

    def _starting(self) -> bool:
        """Kea writes its process id before it reads its configuration."""
        return software.running(self.directory / f"{self.name}.{self.name}.pid", self.configuration.path) is not None

    def _places(self) -> dict[str, str]:
        """Where Kea puts what is not configured: as it comes, a directory of the distribution's own Kea."""
        return {"KEA_PIDFILE_DIR": str(self.directory), "KEA_LOCKFILE_DIR": str(self.directory)}
