# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a machine's network: each is refused with its name and the two things that clash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from site_of_layouts import add_machine, add_site, auto, bond, bridge, network, static, vlan
from sqlalchemy.orm import Session

from metalwright.errors import Invalid
from metalwright.network import layout_rules
from metalwright.network.layout import routes
from metalwright.store import Store

ETH0 = {"name": "eth0", "type": "physical"}
ETH2 = {"name": "eth2", "type": "physical"}


@pytest.fixture
def session(store: Store) -> Iterator[Session]:
    with store.write() as session:
        add_site(session)
        yield session


def default(via: str, metric: int | None = None) -> dict[str, Any]:
    return {"to": "default", "via": via, "metric": metric}


@pytest.mark.parametrize(
    ("rule", "clash", "interfaces"),
    [
        ("nic_missing", ["bond bond0", "52:54:00:aa:aa:aa"], [{**ETH0, "mac": "52-54-00-AA-AA-AA"}, bond("eth0", "eth1")]),
        ("interface_unknown", ["bond0", "eth9"], [bond("eth0", "eth9")]),
        ("nic_twice", ["lan", "eth0"], [{"name": "lan", "type": "physical", "mac": "52:54:00:00:00:01"}, bond("eth0", "eth1")]),
        ("bond_empty", ["bond0", "members"], [{"name": "bond0", "type": "bond"}]),
        ("bond_member", ["bond0", "v7"], [{"name": "v7", "type": "vlan", "parent": "eth1", "vid": 7}, bond("eth0", "v7")]),
        ("bridge_member", ["br1", "br0"], [bridge("eth0"), {**bridge("br0"), "name": "br1"}]),
        ("vlan_parent", ["q", "bond0.42"], [bond(), vlan(), {"name": "q", "type": "vlan", "parent": "bond0.42", "vid": 7}]),
        ("interface_in_two", ["bond bond0", "bridge br0"], [bond(), bridge("eth1", **auto("boot"))]),
        ("interface_in_two", ["bond bond0", "vlan v7"], [bond(), {"name": "v7", "type": "vlan", "parent": "eth1", "vid": 7}]),
        ("interface_in_two", ["bond bond0", "bond bond0"], [bond("eth0", "eth0")]),
        ("interface_twice", ["physical eth0", "physical eth0"], [ETH0, ETH0]),
        ("interface_loop", ["br0", "v7"], [bridge("v7"), {"name": "v7", "type": "vlan", "parent": "br0", "vid": 7}]),
        ("member_with_address", ["bond0", "br0"], [bond(**auto("boot")), bridge()]),
        ("mtu_too_large", ["bond0.42 (9000)", "bond0 (1500)"], [bond(), vlan(mtu=9000)]),
        ("mtu_too_large", ["br0 (9000)", "bond0 (1500)"], [bond(), bridge(mtu=9000, **auto("boot"))]),
        ("mtu_too_large", ["bond0.42 (9100)", "storage (9000)"], [bond(mtu=9100), vlan(**auto("storage"))]),
        ("mtu_differs", ["eth0 (9000)", "bond0 (1500)"], [{**ETH0, "mtu": 9000}, bond()]),
        ("mtu_too_small", ["mtu 1279", "IPv6 (1280)"], [{**ETH0, "mtu": 1279, **auto("six")}]),
        ("vlan_unknown", ["bond0.42", "nowhere"], [bond(), {**vlan(), "vid": None, "vlan": "nowhere"}]),
        ("vlan_twice", ["bond0.42", "again"], [bond(), vlan(), {**vlan(), "name": "again"}]),
        ("vlan_mismatch", ["bond0.42", "office"], [bond(), vlan(**auto("office"))]),
        ("subnet_unknown", ["eth0", "nowhere"], [{**ETH0, **auto("nowhere")}]),
        ("subnet_unknown", ["eth1", "mode auto"], [{"name": "eth1", "type": "physical", "links": [{"mode": "auto"}]}]),
        (
            "address_outside_subnet",
            ["10.0.1.5", "10.0.0.0/24"],
            [{**ETH0, "links": [{"mode": "static", "subnet": "boot", "address": "10.0.1.5"}]}],
        ),
        ("address_outside_subnet", ["eth0", "192.0.2.1"], [{**ETH0, **static("192.0.2.1")}]),
        (
            "address_twice",
            ["bond0.42", "eth2"],
            [bond(), vlan(**static("10.42.0.7")), {"name": "eth2", "type": "physical", **static("10.42.0.7")}],
        ),
        ("route_unreachable", ["via 10.9.0.1", "10.0.0.0/24"], [{**ETH0, **auto("boot"), "routes": [default("10.9.0.1")]}]),
        ("route_unreachable", ["via 10.0.0.5", "10.0.0.0/24"], [{**ETH0, **static("10.0.0.5"), "routes": [default("10.0.0.5")]}]),
        (
            "route_twice",
            ["eth0 via 10.0.0.254", "eth1 via 10.7.0.1"],
            [
                {**ETH0, **auto("boot"), "routes": [default("10.0.0.254")]},
                {"name": "eth1", "type": "physical", **auto("office"), "routes": [default("10.7.0.1")]},
            ],
        ),
        ("no_address", ["bond0, eth0, eth1", "links"], [bond()]),
    ],
)
def test_each_rule_names_the_two_things_that_clash(
    session: Session, rule: str, clash: list[str], interfaces: list[dict[str, Any]]
) -> None:
    with pytest.raises(Invalid) as refused:
        layout_rules.check(session, add_machine(session), network(*interfaces))
    assert (refused.value.code, refused.value.details["rule"]) == (rule, rule)
    assert refused.value.details["clash"] == clash
    assert refused.value.details["machine"] == "node-1"


@pytest.mark.parametrize(
    ("said", "interface"),
    [
        ("1 to 15", {**ETH0, "name": "sixteen-letters0"}),
        ("1 to 15", {**ETH0, "name": "eth 0"}),
        ("1 to 15", {**ETH0, "name": "eth/0"}),
        ("something else", {**ETH0, "name": "lo"}),
        ("stp is of a bridge, and bond0 is a bond", bond(stp=True)),
        ("less than or equal to 4094", vlan(vid=4095)),
        ("greater than or equal to 1", vlan(vid=0)),
        ("one of vid and vlan", vlan(vlan="storage")),
        ("no parent", vlan(parent=None)),
        ("has mode active-backup", bond(lacp_rate="fast")),
        ("has mode broadcast", bond(mode="broadcast", transmit_hash_policy="layer2")),
        ("has mode 802.3ad", bond(mode="802.3ad", primary="eth0")),
        ("none of its members", bond(primary="eth2")),
        ("bridge with stp", bridge(forward_delay=4)),
        ("needs an address", {**ETH0, "links": [{"mode": "static"}]}),
        ("takes no address", {**ETH0, "links": [{"mode": "auto", "address": "10.0.0.7"}]}),
        ("beside another link", {**ETH0, "links": [{"mode": "link"}, {"mode": "dhcp"}]}),
        ("routes and no address", {**ETH0, "routes": [{"to": "default", "via": "10.0.0.1"}]}),
        ("one is IPv4, the other IPv6", {**ETH0, "routes": [{"to": "10.0.0.0/8", "via": "2001:db8:1::1"}]}),
        ("bits of a host", {**ETH0, "routes": [{"to": "10.0.0.1/8", "via": "10.0.0.1"}]}),
        ("Extra inputs", {**ETH0, "mut": 9000}),
    ],
)
def test_what_an_interface_can_not_be_is_said_in_words(said: str, interface: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=said):
        network(interface)


@pytest.mark.parametrize(
    "mode", ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"]
)
def test_every_mode_of_a_bond_is_known(session: Session, mode: str) -> None:
    layout_rules.check(session, add_machine(session), network(bond(mode=mode, **auto("boot"))))


def test_the_main_address_is_that_of_what_stands_on_the_boot_interface(session: Session) -> None:
    declared = network(vlan(vid=None, vlan="storage", **auto("storage")), bond(mtu=9000), bridge(**auto("boot")))
    layout = layout_rules.check(session, add_machine(session), declared)
    assert layout.boot == ("eth0", "bond0", "br0")
    assert [place.interface.name for place in layout.places] == ["br0", "bond0.42"]
    assert {name: layout.mtu(name) for name in layout.interfaces} == dict.fromkeys(
        ("bond0.42", "bond0", "br0", "eth0", "eth1"), 9000
    )


def test_the_first_gateway_of_each_family_is_the_default_route_unless_one_is_declared(session: Session) -> None:
    machine = add_machine(session)
    second = {"name": "eth1", "type": "physical", "links": [{"mode": "auto", "subnet": name} for name in ("office", "six")]}
    plain = layout_rules.check(session, machine, network({**ETH0, **auto("boot")}, second))
    assert [(each.name, *rest) for each, *rest in routes(plain)] == [
        ("eth0", "0.0.0.0/0", "10.0.0.254", None),
        ("eth1", "::/0", "2001:db8:1::1", None),
    ]
    declared = network({**ETH0, **auto("boot")}, {**second, "routes": [default("10.7.0.1", 50)]})
    assert [(each.name, *rest) for each, *rest in routes(layout_rules.check(session, machine, declared))] == [
        ("eth1", "::/0", "2001:db8:1::1", None),
        ("eth1", "0.0.0.0/0", "10.7.0.1", 50),
    ]
