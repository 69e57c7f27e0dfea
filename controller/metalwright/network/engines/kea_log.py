# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kea's servers say: a level, the name of a message (Kea Messages Manual), and a text about one packet or the server."""

from __future__ import annotations

import re

from metalwright.network.engines.leases import mac_of_duid
from metalwright.network.engines.seen import DhcpSeen

_LINE = re.compile(r"(?:.*?\s)?(?P<level>DEBUG|INFO|WARN|ERROR|FATAL)\s+(?:\[[^]]*\] )?(?P<name>[A-Z0-9_]+) ?(?P<text>.*)")
_KINDS = {
    "DHCP4_LEASE_ADVERT": "offer",
    "DHCP4_LEASE_ALLOC": "ack",
    "DHCP4_INIT_REBOOT": "request",
    "DHCP4_RELEASE": "release",
    "DHCP4_DECLINE_LEASE": "decline",
    "DHCP6_LEASE_ADVERT": "advertise",
    "DHCP6_LEASE_ALLOC": "reply",
    "DHCP6_LEASE_RENEW": "reply",
    "DHCP6_RELEASE_NA": "release",
}
_REFUSED = re.compile(r"DHCP4_PACKET_NAK_\d+")
_NONE_FREE = re.compile(r"ALLOC_ENGINE_V(?P<family>[46])_ALLOC_FAIL")
_WHO = re.compile(r"(?:\[hwtype=\d+ (?P<mac>[0-9a-f:]{17})\]|duid=\[(?P<duid>[0-9a-f:]+)\])")
_ADDRESS = re.compile(r"(?:lease(?: for address)?|address) (\d+(?:\.\d+){3}|[0-9a-f]*:[0-9a-f:]+)")


def hear(interface: str, line: str) -> DhcpSeen | str | None:
    """A line of the log: the packet it tells of, the words if they are worth keeping, else None."""
    found = _LINE.match(line)
    if found is None:
        return line or None
    name, text = found["name"], found["text"]
    none_free = _NONE_FREE.match(name)
    kind = _KINDS.get(name) or ("nak" if _REFUSED.fullmatch(name) else None)
    if none_free:
        kind = "discover" if none_free["family"] == "4" else "solicit"
    who = _WHO.search(text)
    if kind and who:
        address = _ADDRESS.search(text)
        note = text.rpartition(": ")[2] if kind in ("nak", "discover", "solicit", "decline") else ""
        mac = who["mac"] or mac_of_duid(who["duid"])
        return DhcpSeen(kind, interface, mac, address[1] if address else None, "no address available" if none_free else note)
    worth = found["level"] in ("WARN", "ERROR", "FATAL") or name.endswith(("_STARTED", "_RECONFIGURATION_SUCCESS"))
    return f"{name} {text}" if worth else None


def complaint(output: str) -> str:
    """Why ``-t`` refuses a configuration: what it says last."""
    words = [line.removeprefix("Error encountered: ") for line in output.splitlines() if line.startswith("Error encountered: ")]
    return words[-1] if words else " ".join(output.split())[-500:]
