# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that nobody else has: each machine gets one of its subnet's and keeps it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy.orm import Session

from metalwright.errors import MetalwrightError
from metalwright.network.addresses import ensure_address
from metalwright.store import Store
from metalwright.store.models import Interface, IpRange, Machine, Reservation, Subnet

RANGES = {"dynamic": ("10.0.0.100", "10.0.0.149"), "static": ("10.0.0.10", "10.0.0.12")}
NUMBERS = itertools.count()


def add_machine(session: Session, name: str, **interface: Any) -> Machine:
    machine = Machine(name=name)
    machine.interfaces = [Interface(mac=f"52:54:00:00:00:{next(NUMBERS):02x}", boot=True, **interface)]
    session.add(machine)
    session.flush()
    return machine


def add_subnet(session: Session, ranges: dict[str, tuple[str, str]] = RANGES, **fields: Any) -> Subnet:
    subnet = Subnet(**{"name": "lab", "cidr": "10.0.0.0/24", "gateway": "10.0.0.254", **fields})
    subnet.ranges = [IpRange(kind=kind, start=start, end=end) for kind, (start, end) in ranges.items()]
    session.add(subnet)
    session.flush()
    return subnet


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
        assert "All addresses of subnet lab from 10.0.0.10 to 10.0.0.12 are taken; there is none for e." in error.message
        assert "metalwright range edit 10.0.0.10 --end LAST" in error.hint


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
        add_subnet(session, name="quiet", cidr="10.3.0.0/24", dhcp=False, gateway=None, ranges={})
        assert refused(session, web, "auto").code == "no_subnet"
        lab = add_subnet(session)
        assert ensure_address(session, add_machine(session, "api")) == "10.0.0.10"
        static = {"static": ("10.4.0.10", "10.4.0.20")}
        other = add_subnet(session, name="far", cidr="10.4.0.0/24", gateway=None, ranges=static)
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


def test_nobody_gets_what_is_kept_for_a_card_or_by_the_site(store: Store) -> None:
    with store.write() as session:
        subnet = add_subnet(session, {**RANGES, "reserved": ("10.0.0.240", "10.0.0.254")})
        session.add(Reservation(subnet_id=subnet.id, mac="52:54:00:aa:00:01", address="10.0.0.10"))
        web = add_machine(session, "web")
        assert ensure_address(session, web) == "10.0.0.11"
        kept = refused(session, web, "10.0.0.241")
        assert (kept.code, "reserved range 10.0.0.240 to 10.0.0.254" in kept.message) == ("address_outside_range", True)
