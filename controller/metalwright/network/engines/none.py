# SPDX-License-Identifier: GPL-3.0-or-later
"""For sites that answer DHCP and DNS themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metalwright.network.engines import Change, Process
from metalwright.network.engines.leases import Lease
from metalwright.network.model import NetworkState


class NoEngine:
    """Does nothing: the site's own servers follow ``docs/reference/network-boot.md``."""

    def apply(self, state: NetworkState) -> Change:  # noqa: ARG002
        """There is nothing to bring about."""
        return Change.NOTHING

    def check(self, state: NetworkState) -> None:
        """What the site's own servers can do is not known here."""

    def processes(self) -> Sequence[Process]:
        """There are none."""
        return ()

    def leases(self) -> list[Lease]:
        """None that we know of."""
        return []

    def lease_files(self) -> Sequence[Path]:
        """There are none."""
        return ()

    def take_over(self, leases: Sequence[Lease]) -> None:
        """The site's own servers have their own."""
