# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine's log tells of DHCP packets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DhcpSeen:
    """A DHCP packet that the server has seen or sent.

    ``kind`` is the message type in lower case without the word DHCP: ``discover``, ``ack`` (RFC 2131), ``solicit``, ``reply``
    (RFC 8415). ``mac`` is None where a DHCPv6 client is known by a DUID that holds none. ``address`` is what was asked for,
    offered or given, if any. ``note`` is what the server adds: why it refuses or does not answer.
    """

    kind: str
    interface: str
    mac: str | None
    address: str | None
    note: str
