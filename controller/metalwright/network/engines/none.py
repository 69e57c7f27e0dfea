# SPDX-License-Identifier: GPL-3.0-or-later
"""For sites that answer DHCP and DNS themselves."""

from __future__ import annotations

from metalwright.network.engines import Change
from metalwright.network.model import NetworkState


class NoEngine:
    """Does nothing: the site's own servers follow ``docs/reference/network-boot.md``."""

    def apply(self, state: NetworkState) -> Change:  # noqa: ARG002
        """There is nothing to bring about."""
        return Change.NOTHING

    def command(self) -> list[str] | None:
        """There is no process."""
        return None
