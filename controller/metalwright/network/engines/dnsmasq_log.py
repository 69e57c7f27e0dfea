# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads dnsmasq's log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metalwright.network.engines.leases import mac_of_duid
from metalwright.network.engines.seen import DhcpSeen

STARTED = re.compile(r"^dnsmasq(\[\d+\])?: started, version")

_FROM = r"^dnsmasq-dhcp(?:\[\d+\])?: (?:\d+ )?"
"""How a line about a packet begins; what comes later in any other may be a client's own words (``vendor class: ...``)."""
_SEEN = re.compile(
    _FROM + r"DHCP(?P<kind>DISCOVER|OFFER|REQUEST|ACK|NAK|RELEASE|DECLINE|INFORM)\((?P<interface>[^)]*)\) "
    r"(?:(?P<address>\d+\.\d+\.\d+\.\d+) )?(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?: (?P<rest>.*))?$"
)
_SEEN_6 = re.compile(
    _FROM + r"DHCP(?P<kind>SOLICIT|ADVERTISE|REQUEST|RENEW|REBIND|CONFIRM|REPLY|RELEASE|DECLINE|INFORMATION-REQUEST)"
    r"\((?P<interface>[^)]*)\) "
    r"(?:(?P<address>[0-9a-f:]*::?[0-9a-f:]*) )?(?P<duid>[0-9a-f]{2}(?::[0-9a-f]{2}){6,})(?: (?P<rest>.*))?$"
)
_DETAIL = re.compile(
    r"dnsmasq(-dhcp)?(\[\d+\])?: (\d+ |read /|cannot read /.*/dhcp-hosts\.d/|inotify: |using |RTR-|cleared cache)"
)
"""Lines about the parts of one packet (``log-dhcp``), and about each of hundreds of files that are read at every change."""


def hear(line: str) -> Sequence[DhcpSeen] | str | None:
    """See ``engines.Process``."""
    seen = parse(line)
    return (seen,) if seen else (None if _DETAIL.match(line) else line)


def parse(line: str) -> DhcpSeen | None:
    """What a line tells of a DHCP packet; None if it tells of none."""
    text = line.rstrip()
    if found := _SEEN.match(text):
        return DhcpSeen(found["kind"].lower(), found["interface"], found["mac"], found["address"], found["rest"] or "")
    if found := _SEEN_6.match(text):
        mac = mac_of_duid(found["duid"])
        return DhcpSeen(found["kind"].lower(), found["interface"], mac, found["address"], found["rest"] or "")
    return None
