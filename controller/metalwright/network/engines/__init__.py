# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP and DNS are served by software that exists; an engine tells it what the network is to look like.

An engine has one process or several. ``serve`` runs them, starts them again when they end, hands on what they say and judges a
new configuration (``configuration.Configuration``); ``apply`` is called by a worker, in another process, and waits for that
judgement where the software reads its configuration only at the start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from metalwright.config import Settings
from metalwright.network.engines.configuration import Configuration
from metalwright.network.engines.leases import Lease
from metalwright.network.engines.seen import DhcpSeen
from metalwright.network.model import NetworkState


class Change(StrEnum):
    """What it took to bring the software to a state."""

    NOTHING = "nothing"
    RELOADED = "reloaded"
    """It has read what changed; nothing was interrupted."""
    RESTART = "restart"
    """A process was asked to end (status 0), was started again by whoever supervises it, and came up with what is new."""


@dataclass(frozen=True)
class Process:
    """One process of an engine, to be kept running in the foreground. It ends with status 0 on SIGTERM.

    ``started`` is found in the line of its log by which it says that it serves now; one that ends or is silent for long before
    that has refused its configuration. ``hear`` is given every line of standard output and standard error, and answers with the
    DHCP packets it tells of, one or more; the line when it is worth keeping in the log; or None.
    """

    name: str
    command: tuple[str, ...]
    configuration: Configuration
    started: re.Pattern[str]
    hear: Callable[[str], Sequence[DhcpSeen] | str | None]


class Engine(Protocol):
    """One way to serve DHCP and DNS."""

    def apply(self, state: NetworkState) -> Change:
        """Bring DHCP and DNS to a state. May be called from any process and as often as one likes: only changes are written.

        Where a process of the engine has to be started again, it is ended, and the judgement of whoever supervises it is waited
        for; where none runs, there is nobody to wait for.

        Raises ``Invalid`` if the software does not accept the result, in which case it goes on with what it had, and
        ``Unavailable`` if it can not be reached; then trying again is right.
        """

    def check(self, state: NetworkState) -> None:
        """Refuse what this engine can not do, before anything is stored or written. Raises ``Invalid`` (``engine_can_not``)."""

    def processes(self) -> Sequence[Process]:
        """The processes to supervise, to be asked for after a first ``apply``; none for an engine that is elsewhere."""

    def leases(self) -> list[Lease]:
        """What DHCP has given, as far as the engine has written it down; also while no process runs. Those that have ended may be
        among them."""

    def lease_files(self) -> Sequence[Path]:
        """Files of which at least one changes whenever ``leases`` does; they need not exist."""

    def take_over(self, leases: Sequence[Lease]) -> None:
        """Make leases that another engine gave one's own; called after a first ``apply``, before the processes run."""


def create(settings: Settings) -> Engine:
    """The engine that the settings name."""
    if settings.dhcp.engine == "dnsmasq":
        from metalwright.network.engines.dnsmasq import Dnsmasq

        return Dnsmasq(settings)
    if settings.dhcp.engine == "kea+bind":
        from metalwright.network.engines.kea_bind import KeaBind

        return KeaBind(settings)
    if settings.dhcp.engine == "external":
        from metalwright.network.engines.external import External

        return External(settings)
    from metalwright.network.engines.none import NoEngine

    return NoEngine()
