# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets that make sense, addresses that nobody else has, and what DHCP and DNS are told of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, MetalwrightError
from metalwright.network import state
from metalwright.network.addresses import ensure_address
from metalwright.network.model import Host, Network
from metalwright.network.subnets import validate
from metalwright.store import Store
from metalwright.store.models import Interface, Machine, Subnet

RANGES = {
    "dynamic_start": "10.0.0.100",
    "dynamic_end": "10.0.0.149",
    "static_start": "10.0.0.10",
    "static_end": "10.0.0.12",
}
NUMBERS = itertools.count()
LAB: dict[str, Any] = {"name": "lab", "cidr": "10.0.0.0/24", "gateway": "10.0.0.254", **RANGES}


def add_machine(session: Session, name: str, **interface: Any) -> Machine:
    machine = Machine(name=name)
    machine.interfaces = [Interface(mac=f"52:54:00:00:00:{next(NUMBERS):02x}", boot=True, **interface)]
    session.add(machine)
    session.flush()
    return machine


def add_subnet(session: Session, **fields: Any) -> Subnet:
    subnet = Subnet(**{**LAB, **fields})
    session.add(subnet)
    session.flush()
    return subnet


# -- definitions ---------------------------------------------------------------------------------------------------------------


def test_a_definition_in_its_normal_form(store: Store) -> None:
    with store.session() as session:
        found = validate(session, {**LAB, "gateway": "", "domain": "Lab.Example.", "dns_servers": ["10.0.0.1"], "enlist": True})
    assert found == {**LAB, "gateway": None, "domain": "lab.example", "dns_servers": ["10.0.0.1"], "enlist": True}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"name": "Lab 1"}, "name_invalid", "'Lab 1' is no name"),
        ({"cidr": "10.0.0.0/33"}, "cidr_invalid", "no IPv4 subnet"),
        ({"cidr": "10.0.0.0"}, "cidr_invalid", "no IPv4 subnet"),
        ({"cidr": "fd00::/64"}, "cidr_invalid", "no IPv4 subnet"),
        ({"cidr": None}, "cidr_invalid", "no IPv4 subnet"),
        ({"cidr": "10.0.0.1/24"}, "cidr_invalid", "a host in 10.0.0.0/24"),
        ({"gateway": "10.0.1.1"}, "gateway_outside_subnet", "10.0.1.1 .* 10.0.0.0/24"),
        ({"gateway": "10.0.0.255"}, "gateway_outside_subnet", "10.0.0.255"),
        ({"gateway": "x"}, "address_invalid", "gateway: 'x'"),
        ({"gateway": "10.0.0.11"}, "gateway_in_range", "static range 10.0.0.10 to 10.0.0.12"),
        ({"gateway": "10.0.0.149"}, "gateway_in_range", "dynamic range 10.0.0.100 to 10.0.0.149"),
        ({"static_end": "10.0.0.100"}, "ranges_overlap", "dynamic range .*100 to .*149 overlaps the static range .*10 to .*100"),
        ({"static_start": "10.0.0.0"}, "range_outside_subnet", "10.0.0.0 of the static range"),
        ({"dynamic_end": "10.0.1.9"}, "range_outside_subnet", "10.0.1.9 of the dynamic range"),
        ({"dynamic_end": None}, "range_incomplete", "dynamic_start is given but dynamic_end is not"),
        ({"static_start": ""}, "range_incomplete", "static_end is given but static_start is not"),
        ({"static_start": "10.0.0.13"}, "range_incomplete", "ends at 10.0.0.12, before it starts at 10.0.0.13"),
        ({"domain": "lab\nserver=1.1.1.1"}, "domain_invalid", "no domain name"),
        ({"dns_servers": ["10.0.0.1", ""]}, "address_invalid", "dns_servers: ''"),
    ],
)
def test_a_definition_that_makes_no_sense(store: Store, change: dict[str, Any], code: str, words: str) -> None:
    with store.session() as session, pytest.raises(Invalid, match=words) as caught:
        validate(session, {**LAB, **change})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"cidr": "10.1.0.0/24", "gateway": None, **dict.fromkeys(RANGES)}, "name_taken", "a subnet lab already, 10.0.0.0/24"),
        ({"name": "other", "cidr": "10.0.0.0/16"}, "subnet_overlap", "10.0.0.0/16 overlaps 10.0.0.0/24 of subnet lab"),
    ],
)
def test_two_subnets_that_clash(store: Store, change: dict[str, Any], code: str, words: str) -> None:
    with store.write() as session:
        add_subnet(session)
        with pytest.raises(Conflict, match=words) as caught:
            validate(session, {**LAB, **change})
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dynamic_start": "10.0.0.10", "static_start": None, "static_end": None}, "10.0.0.10 of web lies in the dynamic range"),
        ({"cidr": "10.9.0.0/24", "gateway": None, **dict.fromkeys(RANGES)}, "10.0.0.10 of web lies outside 10.9.0.0/24"),
        ({"gateway": "10.0.0.10", "static_start": "10.0.0.11"}, "10.0.0.10 of web would be the gateway's"),
    ],
)
def test_a_subnet_keeps_room_for_what_it_has_given(store: Store, change: dict[str, Any], words: str) -> None:
    with store.write() as session:
        subnet = add_subnet(session)
        ensure_address(session, add_machine(session, "web"))
        with pytest.raises(Conflict, match=words) as caught:
            validate(session, change, existing=subnet)
        assert caught.value.details["machine"] == "web"
        assert validate(session, {"static_end": "10.0.0.50"}, existing=subnet)["static_end"] == "10.0.0.50"


# -- addresses -----------------------------------------------------------------------------------------------------------------


def refused(session: Session, machine: Machine, wanted: str) -> MetalwrightError:
    with pytest.raises(MetalwrightError) as caught:
        ensure_address(session, machine, wanted)
    return caught.value


def test_each_machine_gets_the_first_free_address_and_keeps_it(store: Store) -> None:
    with store.write() as session:
        subnet = add_subnet(session)
        first, second, third, fourth = (add_machine(session, name) for name in ("a", "b", "c", "d"))
        assert [ensure_address(session, machine) for machine in (first, second)] == ["10.0.0.10", "10.0.0.11"]
        assert first.interfaces[0].subnet is subnet
        session.delete(first)
        session.flush()
        assert ensure_address(session, third) == "10.0.0.10"
        assert ensure_address(session, second) == "10.0.0.11"
        assert ensure_address(session, fourth) == "10.0.0.12"
        error = refused(session, add_machine(session, "e"), "auto")
        assert (error.code, error.status) == ("no_free_address", 409)
        assert "from 10.0.0.10 to 10.0.0.12 are taken" in error.message


def test_an_address_that_was_asked_for(store: Store) -> None:
    with store.write() as session:
        add_subnet(session)
        web, api = add_machine(session, "web"), add_machine(session, "api")
        assert ensure_address(session, web, "10.0.0.200") == "10.0.0.200"  # outside both ranges: the site's own choice
        assert ensure_address(session, web) == "10.0.0.200"
        assert ensure_address(session, web, "10.0.0.200") == "10.0.0.200"
        taken = refused(session, api, "10.0.0.200")
        assert (taken.code, taken.details["machine"]) == ("address_taken", "web")
        assert refused(session, api, "10.0.0.254").code == "address_taken"
        assert refused(session, api, "10.0.0.120").code == "address_outside_range"
        assert refused(session, api, "10.0.0.255").code == "address_outside_range"
        assert refused(session, api, "10.9.9.9").code == "address_outside_range"
        assert refused(session, web, "10.9.9.9").code == "address_outside_range"
        assert refused(session, api, "ten").code == "address_invalid"
        assert api.interfaces[0].address is None
        assert ensure_address(session, web, "dhcp") is None
        assert ensure_address(session, api, "10.0.0.200") == "10.0.0.200"


def test_an_address_the_subnet_no_longer_allows_is_replaced(store: Store) -> None:
    with store.write() as session:
        subnet = add_subnet(session)
        web = add_machine(session, "web", address="10.0.0.120", subnet=subnet)
        assert ensure_address(session, web) == "10.0.0.10"


def test_which_subnet(store: Store) -> None:
    with store.write() as session:
        web = add_machine(session, "web")
        assert refused(session, web, "auto").code == "no_subnet"
        add_subnet(session, name="quiet", cidr="10.3.0.0/24", dhcp=False, gateway=None, **dict.fromkeys(RANGES))
        assert refused(session, web, "auto").code == "no_subnet"
        lab = add_subnet(session)
        assert ensure_address(session, add_machine(session, "api")) == "10.0.0.10"
        far = {"static_start": "10.4.0.10", "static_end": "10.4.0.20", "dynamic_start": None, "dynamic_end": None}
        other = add_subnet(session, name="far", cidr="10.4.0.0/24", gateway=None, **far)
        several = refused(session, web, "auto")
        assert (several.code, several.details["subnets"]) == ("no_subnet", ["far", "lab"])
        assert ensure_address(session, web, "10.4.0.30") == "10.4.0.30"
        assert web.interfaces[0].subnet is other
        assert ensure_address(session, add_machine(session, "db", subnet=lab)) == "10.0.0.11"
        bare = Machine(name="bare")
        session.add(bare)
        session.flush()
        assert refused(session, bare, "auto").code == "no_subnet"
        rangeless = add_machine(session, "x", subnet=session.query(Subnet).filter_by(name="quiet").one())
        assert refused(session, rangeless, "auto").code == "no_free_address"


# -- what the engines are told -------------------------------------------------------------------------------------------------


def test_the_state_of_the_network(store: Store) -> None:
    with store.write() as session:
        subnet = add_subnet(session, domain="lab.example", dns_servers=["10.0.0.1"])
        add_subnet(session, name="bare", cidr="10.3.0.0/24", gateway=None, dhcp=False, **dict.fromkeys(RANGES))
        web, api, db = (add_machine(session, name) for name in ("web", "api", "db"))
        for machine in (web, api, db):
            ensure_address(session, machine)
        web.hostname = "shop"
        api.hostname = "web"
        db.interfaces = [Interface(mac="52:54:00:00:00:99", address="10.0.0.77", subnet=subnet, position=1), *db.interfaces]
        add_machine(session, "addressless")
        add_machine(session, "shop")  # its name is borrowed by web while that is deployed
        session.flush()
        ensure_address(session, session.query(Machine).filter_by(name="shop").one(), "10.0.0.88")
        subnet_id = subnet.id
    with store.session() as session:
        found = state.read(session)
    assert [network.name for network in found.networks] == ["bare", "lab"]
    assert found.networks[1] == Network(
        subnet_id, "lab", "10.0.0.0/24", "10.0.0.254", ("10.0.0.1",), "lab.example", True, ("10.0.0.100", "10.0.0.149")
    )
    assert {(host.address, host.name) for host in found.hosts} == {
        ("10.0.0.10", "shop"),
        ("10.0.0.11", "web"),
        ("10.0.0.12", "db"),
        ("10.0.0.77", None),
        ("10.0.0.88", None),
    }
    assert all(isinstance(host, Host) and host.domain == "lab.example" for host in found.hosts)
