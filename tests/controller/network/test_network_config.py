# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared networks as cloud-init and netplan read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from site_of_layouts import MACS, add_machine, add_site, auto, bond, bridge, network, static, vlan
from sqlalchemy.orm import Session

from metalwright.network.machine_addresses import prepare
from metalwright.node.network_config import Site, main_domain, of
from metalwright.store import Store

SITE = Site(["10.0.0.1"], "example.net")
PHYSICAL = {"type": "physical"}


@pytest.fixture
def session(store: Store) -> Iterator[Session]:
    with store.write() as session:
        add_site(session)
        yield session


def rendered(session: Session, *interfaces: dict[str, Any]) -> dict[str, Any]:
    machine = add_machine(session, network=network(*interfaces).stored())
    prepare(session, machine, "auto", "10.0.0.1")
    return of(session, machine, "auto", SITE)


def test_a_bond_that_carries_a_vlan_and_a_bridge(session: Session) -> None:
    storage = vlan(vid=None, vlan="storage", mtu=1400, **static("10.42.0.7"), routes=[{"to": "10.43.0.0/16", "via": "10.42.0.1"}])
    mode = {"mode": "active-backup", "primary": "eth1", "mii_monitor_interval": 50}
    assert rendered(session, bond(**mode), storage, bridge(**auto("boot"))) == {
        "version": 2,
        "ethernets": {
            "eth0": {"match": {"macaddress": MACS[0]}, "dhcp4": False, "optional": True},
            "eth1": {"match": {"macaddress": MACS[1]}, "dhcp4": False, "optional": True},
        },
        "bonds": {
            "bond0": {
                "interfaces": ["eth0", "eth1"],
                "macaddress": MACS[0],
                "parameters": {"mode": "active-backup", "mii-monitor-interval": 50, "primary": "eth1"},
                "dhcp4": False,
                "optional": True,
            }
        },
        "bridges": {
            "br0": {
                "interfaces": ["bond0"],
                "parameters": {"stp": False},
                "macaddress": MACS[0],
                "dhcp4": False,
                "addresses": ["10.0.0.10/24"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.254"}],
                "nameservers": {"addresses": ["10.0.0.53"], "search": ["lab.example"]},
            }
        },
        "vlans": {
            "bond0.42": {
                "id": 42,
                "link": "bond0",
                "mtu": 1400,
                "dhcp4": False,
                "addresses": ["10.42.0.7/24"],
                "routes": [{"to": "10.43.0.0/16", "via": "10.42.0.1"}],
            }
        },
    }


def test_a_card_with_an_mtu_keeps_its_name(session: Session) -> None:
    """netplan's .link file for the MTU would take the rule from it by which udev names cards."""
    got = rendered(session, {"name": "eth0", **PHYSICAL, "mtu": 9000, **auto("boot")}, {"name": "eth1", **PHYSICAL})
    assert (got["ethernets"]["eth0"]["mtu"], got["ethernets"]["eth0"]["set-name"]) == (9000, "eth0")
    assert "set-name" not in got["ethernets"]["eth1"]


def test_ipv6_dhcp_and_lacp(session: Session) -> None:
    lacp = bond("eth1", "eth2", mode="802.3ad", lacp_rate="fast", transmit_hash_policy="layer3+4", mtu=9000, **auto("six"))
    got = rendered(session, {"name": "eth0", **PHYSICAL, "links": [{"mode": "dhcp"}, {"mode": "dhcp", "subnet": "six"}]}, lacp)
    assert got["ethernets"]["eth0"] == {
        "match": {"macaddress": MACS[0]},
        "dhcp4": True,
        "dhcp-identifier": "mac",
        "dhcp6": True,
    }
    assert got["bonds"]["bond0"] == {
        "interfaces": ["eth1", "eth2"],
        "macaddress": MACS[1],
        "parameters": {"mode": "802.3ad", "mii-monitor-interval": 100, "lacp-rate": "fast", "transmit-hash-policy": "layer3+4"},
        "mtu": 9000,
        "dhcp4": False,
        "addresses": ["2001:db8:1::10/64"],
        "routes": [{"to": "::/0", "via": "2001:db8:1::1"}],
    }


def test_where_the_subnet_says_nothing_the_main_interface_has_the_sites_names(session: Session) -> None:
    got = rendered(session, {"name": "eth1", **PHYSICAL, **auto("office")}, {"name": "eth2", **PHYSICAL, **auto("storage")})
    assert got["ethernets"]["eth1"]["nameservers"] == {"addresses": ["10.0.0.1"], "search": ["example.net"]}
    assert "nameservers" not in got["ethernets"]["eth2"]
    assert "eth0" not in got["ethernets"]


def test_the_name_is_in_the_domain_of_the_main_subnet(session: Session) -> None:
    machine = add_machine(session, network=network({"name": "eth1", **PHYSICAL, **auto("office")}).stored())
    assert main_domain(session, machine) is None
    machine.network = network(bond(**auto("boot"))).stored()
    assert main_domain(session, machine) == "lab.example"
