# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets and ranges that make sense, and which two things clash when they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, MetalwrightError
from metalwright.network import leases_seen, vlans
from metalwright.network.addresses import ensure_address
from metalwright.network.subnets import define, set_ranges
from metalwright.store import Store
from metalwright.store.models import Domain, Interface, Machine, Record, Reservation, Subnet, Vlan

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MAC = "52:54:00:00:00:01"
DYNAMIC = {"kind": "dynamic", "start": "10.0.0.100", "end": "10.0.0.149"}
STATIC = {"kind": "static", "start": "10.0.0.10", "end": "10.0.0.12"}
LAB: dict[str, Any] = {"name": "lab", "cidr": "10.0.0.0/24", "gateway": "10.0.0.254", "ranges": [DYNAMIC, STATIC]}
SIX: dict[str, Any] = {"name": "six", "cidr": "2001:db8::/64", "gateway": "fe80::1"}


def add_subnet(session: Session, **fields: Any) -> Subnet:
    found = define(session, {**LAB, **fields}, NOW)
    subnet = Subnet(**found.columns, vlan=found.vlan)
    session.add(subnet)
    set_ranges(session, subnet, found.ranges, NOW)
    session.flush()
    return subnet


def add_machine(session: Session, name: str) -> Machine:
    machine = Machine(name=name, interfaces=[Interface(mac=MAC, boot=True)])
    session.add(machine)
    session.flush()
    return machine


def ranged(*bounds: tuple[str, str, str]) -> dict[str, Any]:
    return {"ranges": [{"kind": kind, "start": start, "end": end} for kind, start, end in bounds]}


def refused(session: Session, change: dict[str, Any], existing: Subnet | None = None) -> MetalwrightError:
    with pytest.raises(MetalwrightError) as caught:
        define(session, change if existing is not None else {**LAB, **change}, NOW, existing=existing)
    return caught.value


def test_a_definition_in_its_normal_form(store: Store) -> None:
    with store.write() as session:
        given = {**SIX, "domain": "Lab.Example.", "dns_servers": ["2001:DB8:0::5", "2001:db8::5"], "search": ["Example.COM", ""]}
        found = define(session, {**given, "relays": ["2001:db8:9::1"], **ranged(("static", "2001:DB8::A", "2001:db8::f"))}, NOW)
        assert session.query(Domain).filter_by(default=False).one().name == "lab.example"
    assert (found.columns["cidr"], found.columns["gateway"], found.columns["domain"]) == (
        "2001:db8::/64",
        "fe80::1",
        "lab.example",
    )
    assert (found.columns["dns_servers"], found.columns["search"]) == (["2001:db8::5"], ["example.com"])
    assert [str(bounds) for bounds in found.ranges] == ["2001:db8::a to 2001:db8::f"]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"name": "Lab 1"}, "name_invalid", "'Lab 1' is no name"),
        ({"cidr": "10.0.0.0/33"}, "cidr_invalid", "no IPv4 subnet"),
        ({"cidr": "10.0.0.0"}, "cidr_invalid", "no IPv4 subnet"),
        ({"cidr": None}, "cidr_invalid", "no IPv4 subnet"),
        ({"cidr": "2001:db8::/56"}, "cidr_invalid", "no IPv6 subnet of /64 to /126"),
        ({"cidr": "10.0.0.1/24"}, "cidr_invalid", "a host in 10.0.0.0/24"),
        ({"cidr": "127.0.0.0/8"}, "cidr_invalid", "the loopback"),
        ({"cidr": "fe80::/64", "gateway": None}, "cidr_invalid", "link-local"),
        ({"gateway": "10.0.1.1"}, "gateway_outside_subnet", "10.0.1.1 .* 10.0.0.0/24"),
        ({"gateway": "10.0.0.255"}, "gateway_outside_subnet", "10.0.0.255"),
        ({"gateway": "x"}, "address_invalid", "gateway: 'x' is no IPv4 address"),
        ({"gateway": "2001:db8::1"}, "address_invalid", "gateway: '2001:db8::1' is no IPv4 address"),
        ({"gateway": "10.0.0.11"}, "gateway_in_range", "static range 10.0.0.10 to 10.0.0.12"),
        ({"gateway": "10.0.0.149"}, "gateway_in_range", "dynamic range 10.0.0.100 to 10.0.0.149"),
        ({"dns_servers": ["10.0.0.1", "10.0.0.120"]}, "dns_server_in_range", "10.0.0.120 .* 10.0.0.100 to 10.0.0.149"),
        ({"dns_servers": ["10.0.0.1", ""]}, "address_invalid", "dns_servers: ''"),
        ({"ntp_servers": ["pool.ntp.org"]}, "address_invalid", "ntp_servers: 'pool.ntp.org'"),
        ({"relays": ["10.0.0.9"]}, "relay_inside_subnet", "10.0.0.9 has an address in 10.0.0.0/24"),
        ({"search": ["a_b"]}, "domain_invalid", "'a_b' is no domain name"),
        ({"domain": "lab\nserver=1.1.1.1"}, "domain_invalid", "no domain name"),
        ({"domain": "com"}, "domain_not_ownable", "com is a top-level domain"),
        (
            ranged(("dynamic", "10.0.0.20", "10.0.0.30"), ("static", "10.0.0.30", "10.0.0.40")),
            "ranges_overlap",
            "dynamic range 10.0.0.20 to 10.0.0.30 overlaps the static range 10.0.0.30 to 10.0.0.40",
        ),
        (
            ranged(("static", "10.0.0.9", "10.0.0.9"), ("static", "10.0.0.9", "10.0.0.9")),
            "ranges_overlap",
            "10.0.0.9 to 10.0.0.9",
        ),
        (ranged(("static", "10.0.0.0", "10.0.0.9")), "range_outside_subnet", "10.0.0.0 of the static range"),
        (ranged(("dynamic", "10.0.0.9", "10.0.1.9")), "range_outside_subnet", "10.0.1.9 of the dynamic range"),
        (ranged(("reserved", "10.0.0.13", "10.0.0.12")), "range_backwards", "ends at 10.0.0.12, before it starts at 10.0.0.13"),
        (ranged(("static", "10.0.0.9", "2001:db8::9")), "address_invalid", "static range: '2001:db8::9' is no IPv4"),
    ],
)
def test_a_definition_that_makes_no_sense(store: Store, change: dict[str, Any], code: str, words: str) -> None:
    with store.write() as session, pytest.raises(Invalid, match=words) as caught:
        define(session, {**LAB, **change}, NOW)
    assert caught.value.code == code


def test_the_site_s_own_addresses_may_lie_in_a_reserved_range(store: Store) -> None:
    with store.write() as session:
        subnet = add_subnet(session, dns_servers=["10.0.0.250"], **ranged(("reserved", "10.0.0.250", "10.0.0.254")))
        assert [row.start for row in subnet.ranges] == ["10.0.0.250"]


def test_subnets_that_clash(store: Store) -> None:
    with store.write() as session:
        add_subnet(session, relays=["10.9.0.1"], rack="west")
        none = {"gateway": None, "ranges": []}
        for change, code, words in (
            ({"cidr": "10.1.0.0/24", **none}, "name_taken", "There is a subnet lab already, 10.0.0.0/24."),
            ({"name": "other", "cidr": "10.0.0.0/16"}, "subnet_overlap", "10.0.0.0/16 overlaps 10.0.0.0/24 of subnet lab."),
            (
                {"name": "other", "cidr": "10.1.0.0/24", "relays": ["10.9.0.1"], **none},
                "relay_taken",
                "The relay 10.9.0.1 speaks for subnet lab already.",
            ),
        ):
            error = refused(session, change)
            assert (error.code, error.message) == (code, words)
        define(session, SIX, NOW)


def test_vlans_and_their_subnets(store: Store) -> None:
    with store.write() as session:
        session.add_all([Vlan(name="thin", vid=7, mtu=1000), Vlan(name="far", vid=8, rack="east")])
        subnet = add_subnet(session, vlan="thin")
        assert refused(session, {"vlan": "none"}, subnet).code == "vlan_not_found"
        thin = refused(session, {**SIX, "ranges": [], "vlan": "thin"})
        assert (thin.code, thin.message) == (
            "mtu_too_small",
            "VLAN thin carries 1000 bytes, but IPv6, as on subnet six, needs 1280.",
        )
        other = refused(session, {"vlan": "far"}, subnet)
        assert (other.code, "rack default, but VLAN far is one of rack east" in other.message) == ("vlan_of_another_rack", True)
        vlan = vlans.get(session, "thin")
        with pytest.raises(Conflict, match="Subnet lab of VLAN thin is served by rack default"):
            vlans.validate(session, {"rack": "east"}, existing=vlan)
        session.add(Subnet(name="six", cidr="2001:db8::/64", vlan=vlan))
        session.flush()
        with pytest.raises(Invalid, match="IPv6, as on subnet six, needs 1280"):
            vlans.validate(session, {"mtu": 1200}, existing=vlan)
        assert vlans.validate(session, {"mtu": None}, existing=vlan)["mtu"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ranged(("dynamic", "10.0.0.10", "10.0.0.20")), "10.0.0.10 of web lies in the dynamic range 10.0.0.10 to 10.0.0.20."),
        (ranged(("reserved", "10.0.0.1", "10.0.0.20")), "10.0.0.10 of web lies in the reserved range 10.0.0.1 to 10.0.0.20."),
        (
            ranged(("static", "10.0.0.11", "10.0.0.12")),
            "10.0.0.10 of web would lie in no static range any more; it is in 10.0.0.10 to 10.0.0.12.",
        ),
        ({"cidr": "10.9.0.0/24", "gateway": None, "ranges": []}, "10.0.0.10 of web lies outside 10.9.0.0/24."),
        ({"gateway": "10.0.0.10", **ranged(("static", "10.0.0.11", "10.0.0.12"))}, "10.0.0.10 of web would be the gateway's."),
    ],
)
def test_a_subnet_keeps_room_for_what_machines_have(store: Store, change: dict[str, Any], words: str) -> None:
    with store.write() as session:
        subnet = add_subnet(session)
        ensure_address(session, add_machine(session, "web"))
        error = refused(session, change, subnet)
        assert (error.code, error.message, error.details["machine"]) == ("address_in_use", words, "web")
        wider = define(session, ranged(("static", "10.0.0.9", "10.0.0.99")), NOW, existing=subnet)
        assert set_ranges(session, subnet, wider.ranges, NOW) is True


def test_a_subnet_keeps_room_for_reservations(store: Store) -> None:
    with store.write() as session:
        subnet = add_subnet(session)
        session.add(Reservation(mac=MAC, address="10.0.0.60", subnet=subnet))
        session.flush()
        family = refused(session, {"cidr": "2001:db8::/64", "gateway": None, "ranges": []}, subnet)
        assert family.message == "Subnet lab is 10.0.0.0/24, and 2001:db8::/64 is of the other family."
        error = refused(session, {"gateway": "10.0.0.60"}, subnet)
        assert (error.code, error.message) == (
            "address_in_use",
            f"10.0.0.60 of the reservation for {MAC} would be the gateway's.",
        )
        define(session, ranged(("dynamic", "10.0.0.50", "10.0.0.70")), NOW, existing=subnet)


def test_a_dynamic_range_does_not_shrink_under_live_leases(store: Store) -> None:
    with store.write() as session:
        subnet = add_subnet(session)
        leases_seen.seen(session, "10.0.0.140", "52:54:00:bb:00:01", NOW + timedelta(hours=1), NOW)
        leases_seen.seen(session, "10.0.0.141", "52:54:00:bb:00:02", NOW, NOW - timedelta(hours=1))  # run out
        leases_seen.seen(session, "10.0.0.10", "52:54:00:bb:00:03", None, NOW)  # a fixed address
        shrunk = ranged(("dynamic", "10.0.0.100", "10.0.0.139"))
        error = refused(session, shrunk, subnet)
        assert error.code == "address_on_lease"
        assert error.message == (
            "10.0.0.140 is on lease to 52:54:00:bb:00:01 until 2026-11-21T13:00:00+00:00, and would lie in no dynamic range any "
            "more; it is in 10.0.0.100 to 10.0.0.149."
        )
        define(session, ranged(("dynamic", "10.0.0.100", "10.0.0.145")), NOW, existing=subnet)
        define(
            session, ranged(("dynamic", "10.0.0.90", "10.0.0.120"), ("dynamic", "10.0.0.121", "10.0.0.149")), NOW, existing=subnet
        )
        add_machine(session, "web").interfaces[0].mac = "52:54:00:bb:00:01"
        session.flush()
        assert "on lease to web (52:54:00:bb:00:01)" in refused(session, shrunk, subnet).message
        session.add(Reservation(mac="52:54:00:bb:00:01", address="10.0.0.140", subnet=subnet))
        session.flush()
        define(session, shrunk, NOW, existing=subnet)  # it keeps its address for good
        leases_seen.ended(session, "10.0.0.140")
        define(session, {"ranges": []}, NOW, existing=subnet)


def test_a_domain_for_machines_is_free_of_records_with_their_names(store: Store) -> None:
    with store.write() as session:
        shop = Domain(name="shop.example")
        session.add(Record(name="web", type="A", data="192.0.2.1", domain=shop))
        session.add(Domain(name="corp.example", forward_to=["192.0.2.53"]))
        add_machine(session, "web")
        subnet = add_subnet(session)
        taken = refused(session, {"domain": "shop.example"}, subnet)
        assert (taken.code, taken.message) == ("name_taken", "web.shop.example A 192.0.2.1 bears the name of machine web.")
        assert refused(session, {"domain": "corp.example"}, subnet).code == "domain_forwarded"
        session.add(Domain(name="0.10.in-addr.arpa", forward_to=["192.0.2.53"]))
        session.flush()
        mine = refused(session, {"name": "wide", "cidr": "10.0.0.0/16", "ranges": []})
        assert mine.code == "subnet_overlap"
        session.add(Domain(name="1.10.in-addr.arpa", forward_to=["192.0.2.53"]))
        session.flush()
        wide = refused(session, {"name": "wide", "cidr": "10.1.0.0/16", "gateway": None, "ranges": []})
        assert (wide.code, wide.message) == (
            "reverse_domain_taken",
            "1.10.in-addr.arpa, which is asked elsewhere, is a reverse zone of subnet wide (10.1.0.0/16).",
        )
