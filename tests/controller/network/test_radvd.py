# SPDX-License-Identifier: GPL-3.0-or-later
"""What radvd is told to advertise, and that it accepts it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

import pytest

from metalwright.network.engines import software
from metalwright.network.engines.radvd import text
from metalwright.network.model import Network, NetworkState

OURS = [ip_interface(text) for text in ("10.99.0.1/24", "2001:db8:99::1/64", "fe80::1/64")]
NEAR = Network("near", "near", "2001:db8:99::/64", mtu=1400)
FAR = Network("far", "far", "2001:db8:98::/64")


def lines(*networks: Network) -> set[str]:
    return {line.strip() for line in text("server", NetworkState(networks), OURS).splitlines()}


def test_it_is_silent_where_there_is_no_ipv6() -> None:
    for networks in ((), (FAR,), (replace(NEAR, dhcp=False),), (Network("four", "four", "10.99.0.0/24"),)):
        assert "AdvSendAdvert off;" in lines(*networks)
        assert not [line for line in lines(*networks) if line.startswith("prefix")]


def test_addresses_are_those_of_dhcpv6_on_the_subnets_that_are_near() -> None:
    found = lines(NEAR, FAR)
    assert found > {"AdvSendAdvert on;", "AdvManagedFlag on;", "AdvOtherConfigFlag on;", "AdvLinkMTU 1400;"}
    assert [line for line in found if line.startswith("prefix")] == [
        "prefix 2001:db8:99::/64 { AdvOnLink on; AdvAutonomous off; };"
    ]


@pytest.mark.parametrize(
    ("gateway", "router"), [(None, False), ("2001:db8:99::fe", False), ("2001:db8:99::1", True), ("fe80::1", True)]
)
def test_this_host_is_a_router_where_it_is_the_gateway(gateway: str | None, router: bool) -> None:
    assert ("AdvDefaultLifetime 0;" in lines(replace(NEAR, gateway=gateway))) != router


def test_radvd_accepts_it(tmp_path: Path) -> None:
    for number, networks in enumerate(((), (NEAR,), (NEAR, replace(FAR, cidr="2001:db8:99:1::/64")))):
        path = tmp_path / str(number)
        path.write_text(text("lo", NetworkState(networks), OURS))
        subprocess.run([software.program("radvd"), "-c", "-C", str(path)], check=True, capture_output=True)
