# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kea's servers say: a level, the name of a message (Kea Messages Manual), and a text about one packet or the server."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metalwright.network.engines.leases import mac_of_duid
from metalwright.network.engines.seen import DhcpSeen

_LINE = re.compile(r"(?:.*?\s)?(?P<level>DEBUG|INFO|WARN|ERROR|FATAL)\s+(?:\[[^]]*\] )?(?P<name>[A-Z0-9_]+) ?(?P<text>.*)")
_KINDS = {
    "DHCP4_LEASE_ADVERT": ("discover", "offer"),
    "DHCP4_LEASE_OFFER": ("discover", "offer"),  # what Kea calls it from 2.4 on
    "DHCP4_LEASE_ALLOC": ("request", "ack"),
    "DHCP4_RELEASE": ("release",),
    "DHCP4_DECLINE_LEASE": ("decline",),
    "DHCP6_LEASE_ADVERT": ("solicit", "advertise"),
    "DHCP6_LEASE_ALLOC": ("request", "reply"),
    "DHCP6_LEASE_RENEW": ("renew", "reply"),
    "DHCP6_RELEASE_NA": ("release",),
}
"""By message: the packet that came, and its answer."""
_REFUSALS = {
    "DHCP4_PACKET_NAK_0002": ("request", "nak"),
    "DHCP4_PACKET_NAK_0003": ("discover",),
    "DHCP4_PACKET_NAK_0004": ("request", "nak"),
    "ALLOC_ENGINE_V6_ALLOC_FAIL_SHARED_NETWORK": ("solicit",),
    "ALLOC_ENGINE_V6_ALLOC_FAIL_SUBNET": ("solicit",),
}
"""The same where there is none for the client. One of the names is wider than what it says: a DISCOVER is never refused."""
_WHO = re.compile(r"(?:\[hwtype=\d+ (?P<mac>[0-9a-f:]{17})\]|duid=\[(?P<duid>[0-9a-f:]+)\])")
_ADDRESS = re.compile(r"(?:lease(?: for address)?|address) (\d+(?:\.\d+){3}|[0-9a-f]*:[0-9a-f:]+)")


class Listener:
    """Hears the log of one server on that interface; see ``engines.Process``.

    What one of a pair says at every heartbeat while its partner is away is kept once, until one of them changes its state.
    """

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._said: set[str] = set()

    def hear(self, line: str) -> Sequence[DhcpSeen] | str | None:
        """What a line tells of."""
        found = _LINE.match(line)
        if found is None:
            return line or None
        name, text = found["name"], found["text"]
        return self._packets(name, text) or self._words(found["level"], name, text)

    def _packets(self, name: str, text: str) -> Sequence[DhcpSeen]:
        kinds, note = _KINDS.get(name, ()), ""
        if name in _REFUSALS:
            kinds = _REFUSALS[name]
            note = text.rpartition(": ")[2] if "nak" in kinds else "no address available"
        who = _WHO.search(text)
        if not kinds or not who:
            return ()
        address = _ADDRESS.search(text)
        mac = who["mac"] or mac_of_duid(who["duid"])
        return [DhcpSeen(kind, self._interface, mac, address[1] if address else None, note) for kind in kinds]

    def _words(self, level: str, name: str, text: str) -> str | None:
        if name == "HA_STATE_TRANSITION":
            self._said.clear()
        elif name.startswith("HA_") and text in self._said:
            return None
        elif level not in ("WARN", "ERROR", "FATAL") or "_ALLOC_FAIL" in name:
            return f"{name} {text}" if name.endswith(("_STARTED", "_RECONFIGURATION_SUCCESS")) else None
        elif name.startswith("HA_"):
            self._said.add(text)
        return f"{name} {text}"


def complaint(output: str) -> str:
    """Why ``-t`` refuses a configuration: what it says last."""
    words = [line.removeprefix("Error encountered: ") for line in output.splitlines() if line.startswith("Error encountered: ")]
    return words[-1] if words else " ".join(output.split())[-500:]
