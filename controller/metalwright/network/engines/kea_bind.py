# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP by Kea and DNS by BIND, for fleets (docs/reference/engine-kea-bind.md)."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from metalwright.config import Settings
from metalwright.network.engines import Change, Process, own_addresses
from metalwright.network.engines.bind import Bind
from metalwright.network.engines.kea import KeaServer
from metalwright.network.engines.leases import Lease
from metalwright.network.engines.radvd import Radvd
from metalwright.network.model import NetworkState


class KeaBind:
    """``kea-dhcp4``, ``kea-dhcp6``, ``radvd`` and ``named`` on one network interface of this host."""

    def __init__(self, settings: Settings) -> None:
        self._interface = settings.dhcp.interface
        self._kea = (KeaServer(settings, 4), KeaServer(settings, 6))
        self._radvd = Radvd(settings)
        self._bind = Bind(settings)

    def check(self, state: NetworkState) -> None:
        """There is nothing in a state that these can not do."""

    def apply(self, state: NetworkState) -> Change:
        """Have all of it checked, then DHCP changed and then names; see ``Engine.apply``.

        Raises ``Invalid`` (``dhcp_config_refused``, ``dns_config_refused``, with the software's words: nothing was replaced;
        ``network_rolled_back``: one of them did not take it) or ``Unavailable`` (``engine_missing``, ``engine_unreachable``,
        ``dns_update_refused``, ``lease_stuck``, ``interface_missing``).
        """
        all_of_ours = own_addresses.on_interface(self._interface)
        ours = [each for each in all_of_ours if not each.is_link_local]
        with self._locked():
            texts = [server.prepare(state, ours) for server in self._kea]
            advertised = self._radvd.prepare(state, all_of_ours)
            named, zones = self._bind.prepare(state, ours)
            changed = False
            for server, text in zip(self._kea, texts, strict=True):
                changed |= server.commit(text)
                server.release(state)
            changed |= self._radvd.commit(advertised)
            changed |= self._bind.commit(named, zones, state, ours)
        return Change.RELOADED if changed else Change.NOTHING

    def processes(self) -> Sequence[Process]:
        """See ``Engine.processes``."""
        return [*(server.process() for server in self._kea), self._radvd.process(), self._bind.process()]

    def leases(self) -> list[Lease]:
        """See ``Engine.leases``."""
        return [lease for server in self._kea for lease in server.leases()]

    def lease_files(self) -> Sequence[Path]:
        """See ``Engine.lease_files``."""
        return [server.lease_file for server in self._kea]

    def take_over(self, leases: Sequence[Lease]) -> None:
        """See ``Engine.take_over``."""
        with self._locked():
            for server in self._kea:
                server.take_over(leases)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        directory = self._kea[0].directory
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
