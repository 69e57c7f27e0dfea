# SPDX-License-Identifier: GPL-3.0-or-later
"""What is understood of the lines that Kea's servers say."""

from __future__ import annotations

import pytest

from metalwright.network.engines.kea_log import Listener, complaint
from metalwright.network.engines.seen import DhcpSeen

WHO = "[hwtype=1 52:54:00:00:00:0a], cid=[no info], tid=0xd74147b9"
MAC = "52:54:00:00:00:0a"
DUID = f"duid=[00:03:00:01:{MAC}], [no hwaddr info], tid=0x1"


@pytest.mark.parametrize(
    ("line", "kinds", "address", "note"),
    [
        (f"INFO  DHCP4_LEASE_ADVERT {WHO}: lease 10.77.6.176 will be advertised", ("discover", "offer"), "10.77.6.176", ""),
        (
            f"INFO  DHCP4_LEASE_ALLOC {WHO}: lease 10.77.6.176 has been allocated for 7200 seconds",
            ("request", "ack"),
            "10.77.6.176",
            "",
        ),
        (
            f"DEBUG DHCP4_PACKET_NAK_0002 {WHO}: invalid address 10.9.9.9 requested by INIT-REBOOT",
            ("request", "nak"),
            "10.9.9.9",
            "invalid address 10.9.9.9 requested by INIT-REBOOT",
        ),
        (
            f"DEBUG DHCP4_PACKET_NAK_0003 {WHO}: failed to advertise a lease, client sent ciaddr 0.0.0.0",
            ("discover",),
            None,
            "no address available",
        ),
        (
            f"INFO  DHCP6_LEASE_ALLOC {DUID}: lease for address 2001:db8::10 and iaid=7 has been allocated for 3600 seconds",
            ("request", "reply"),
            "2001:db8::10",
            "",
        ),
    ],
)
def test_packets(line: str, kinds: tuple[str, ...], address: str | None, note: str) -> None:
    assert Listener("server").hear(line) == [DhcpSeen(kind, "server", MAC, address, note) for kind in kinds]


def test_a_client_without_a_mac_is_seen_all_the_same() -> None:
    line = "INFO  DHCP6_LEASE_ADVERT duid=[00:04:aa:bb], tid=0x1: lease for address 2001:db8::10 and iaid=7 will be advertised"
    assert Listener("server").hear(line) == [
        DhcpSeen(kind, "server", None, "2001:db8::10", "") for kind in ("solicit", "advertise")
    ]


def test_what_is_kept() -> None:
    assert Listener("server").hear("INFO  COMMAND_RECEIVED Received command 'config-reload'") is None
    assert Listener("server").hear(f"WARN  ALLOC_ENGINE_V4_ALLOC_FAIL_NO_POOLS {WHO}: no pools were available") is None
    assert Listener("server").hear("INFO  DHCP4_STARTED Kea DHCPv4 server version 2.2.0 started") is not None
    before = "2026-11-29 12:05:39.738 ERROR [kea-dhcp6.dhcp6/21254.139797027090944] DHCP6_INIT_FAIL failed to initialize"
    assert Listener("server").hear(before) == "DHCP6_INIT_FAIL failed to initialize"


def test_a_complaint_is_the_last_words() -> None:
    output = "2026-11-29 12:02:01 ERROR [x] DHCP4_PARSER_FAIL long words\nError encountered: no such option (kea.conf:1:62)\n"
    assert complaint(output) == "no such option (kea.conf:1:62)"
    assert complaint("Illegal\n  instruction") == "Illegal instruction"


def test_what_a_pair_says_at_every_heartbeat_is_kept_once() -> None:
    hear = Listener("server").hear
    lines = [
        "WARN  HA_HEARTBEAT_COMMUNICATIONS_FAILED failed to send heartbeat to standby (https://10.0.0.2:8647/): refused",
        "WARN  HA_COMMUNICATION_INTERRUPTED communication with standby is interrupted",
    ]
    kept = [bool(hear(line)) for line in lines * 3]
    assert kept == [True, True, False, False, False, False]
    changed = "INFO  HA_STATE_TRANSITION server transitions from HOT-STANDBY to PARTNER-DOWN state, partner state is UNAVAILABLE"
    assert [bool(hear(line)) for line in (changed, *lines, changed)] == [True] * 4
