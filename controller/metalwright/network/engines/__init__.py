# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP and DNS are served by software that exists; an engine tells it what the network is to look like."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from metalwright.config import Settings
from metalwright.network.model import NetworkState


class Change(StrEnum):
    """What it took to bring the software to a state."""

    NOTHING = "nothing"
    RELOADED = "reloaded"
    """It has read what changed; nothing was interrupted."""
    RESTART = "restart"
    """Its process was asked to end (status 0); whoever supervises it starts it again with the new configuration."""


class Engine(Protocol):
    """One way to serve DHCP and DNS."""

    def apply(self, state: NetworkState) -> Change:
        """Bring DHCP and DNS to a state. May be called from any process and as often as one likes: only changes are written.

        Raises ``Invalid`` if the software does not accept the result, in which case it goes on with what it had, and
        ``Unavailable`` if it can not be reached; then trying again is right.
        """

    def command(self) -> list[str] | None:
        """The process to supervise, in the foreground, after a first ``apply``; None if there is none."""


def create(settings: Settings) -> Engine:
    """The engine that the settings name."""
    if settings.dhcp.engine == "dnsmasq":
        from metalwright.network.engines.dnsmasq import Dnsmasq

        return Dnsmasq(settings)
    from metalwright.network.engines.none import NoEngine

    return NoEngine()
