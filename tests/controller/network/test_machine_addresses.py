# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of declared networks: kept, shared with the boot interface, freed when nothing uses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from site_of_layouts import MACS, add_machine, add_site, auto, bond, bridge, network, static, vlan
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.errors import Conflict, Invalid
from metalwright.network import layout_rules, machine_addresses, state
from metalwright.network.addresses import ensure_address
from metalwright.network.machine_addresses import Given
from metalwright.store import Store
from metalwright.store.models import Machine, Reservation, Subnet

OURS = "10.0.0.1"


@pytest.fixture(params=["sqlite", "postgresql"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    store: Store = request.getfixturevalue("store" if request.param == "sqlite" else "postgres_store")
    with store.write() as session:
        add_site(session)
        yield session


def declare(session: Session, machine: Machine, *interfaces: dict[str, Any], boot: bool = True) -> Given:
    declared = network(*interfaces)
    given = machine_addresses.give(session, machine, layout_rules.check(session, machine, declared), OURS, boot=boot)
    machine.network = declared.stored()
    return given


def test_what_stands_on_the_boot_interface_has_the_address_it_boots_with(session: Session) -> None:
    machine = add_machine(session)
    ensure_address(session, machine, ours=OURS)
    given = declare(session, machine, bond(), vlan(**auto("storage")), bridge(**auto("boot")))
    assert machine.boot_interface and machine.boot_interface.address == "10.0.0.10"
    assert (given.kept, given.named) == (["10.42.0.10"], ["10.0.0.10"])
    fixed = declare(session, machine, bond(), vlan(**auto("storage")), bridge(**static("10.0.0.77")))
    assert machine.boot_interface.address == "10.0.0.77"
    assert (fixed.kept, fixed.named) == (["10.42.0.10"], ["10.0.0.77"])


def test_addresses_are_kept_and_freed_when_a_settled_network_has_them_no_more(session: Session) -> None:
    one, other = add_machine(session), add_machine(session, "node-2", 1)
    first = declare(session, one, bond(), vlan(**auto("storage")))
    assert declare(session, one, bond(), vlan(**auto("storage"))) == first
    renamed = declare(session, one, bond(), {**vlan(**auto("storage")), "name": "disks"})
    assert renamed.kept == first.kept == ["10.42.0.10"]
    moved = declare(session, one, bond(), vlan(**static("10.42.0.15")))
    assert [row.address for row in one.addresses] == ["10.42.0.10", "10.42.0.15"]
    assert declare(session, other, bond(), vlan(**auto("storage"))).kept == ["10.42.0.11"]
    machine_addresses.settle(session, one, moved)
    assert [row.address for row in one.addresses] == ["10.42.0.15"]
    assert one.named == ["10.42.0.15"]
    third = add_machine(session, "node-3", 2)
    assert declare(session, third, bond(), vlan(**auto("storage"))).kept == ["10.42.0.10"]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.0.0.150", "address_outside_range"),
        ("10.0.0.255", "address_outside_range"),
        ("10.0.0.254", "address_taken"),
        ("10.0.0.53", "address_taken"),
        (OURS, "address_taken"),
        ("10.0.0.20", "address_taken"),
        ("10.0.0.30", "address_taken"),
        ("10.0.0.40", "address_taken"),
    ],
)
def test_an_address_that_is_somebody_elses_is_refused(session: Session, address: str, code: str) -> None:
    other, third = add_machine(session, "node-2", 1), add_machine(session, "node-3", 2)
    ensure_address(session, other, "10.0.0.20", ours=OURS)
    declare(session, third, {"name": "eth1", "type": "physical", **static("10.0.0.30")})
    boots = session.query(Subnet).filter_by(name="boot").one()
    session.add(Reservation(subnet=boots, mac="52:54:00:99:99:99", address="10.0.0.40", name="printer"))
    with pytest.raises((Conflict, Invalid)) as refused:
        declare(session, add_machine(session), bond(**static(address)))
    assert (refused.value.code, refused.value.details["address"]) == (code, address)


def test_a_reservation_for_its_card_is_the_machines_address(session: Session) -> None:
    boots = session.query(Subnet).filter_by(name="boot").one()
    session.add(Reservation(subnet=boots, mac=MACS[0], address="10.0.0.40", name=None))
    machine = add_machine(session)
    assert declare(session, machine, bond(**auto("boot"))).named == ["10.0.0.40"]


def test_a_range_that_runs_out_says_so(session: Session) -> None:
    for number in range(3):
        declare(session, add_machine(session, f"node-{number}", number), bond(**auto("boot")))
    with pytest.raises(Conflict) as refused:
        declare(session, add_machine(session, "node-3", 3), bond(**auto("boot")))
    assert (refused.value.code, "node-3" in refused.value.message) == ("no_free_address", True)


def test_a_machine_that_runs_keeps_the_address_it_is_known_by(session: Session) -> None:
    machine = add_machine(session)
    ensure_address(session, machine, ours=OURS)
    declare(session, machine, bond(**static("10.0.0.77")), boot=False)
    assert machine.boot_interface and machine.boot_interface.address == "10.0.0.10"
    assert machine_addresses.prepare(session, machine, "auto", OURS).named == ["10.0.0.77"]
    assert machine.boot_interface.address == "10.0.0.77"
    with pytest.raises(Conflict, match="declared"):
        machine_addresses.prepare(session, machine, "dhcp", OURS)


def test_names_lead_to_the_main_addresses_and_dhcp_knows_cards_only(session: Session, settings: Settings) -> None:
    machine = add_machine(session)
    six = {"name": "eth2", "type": "physical", **auto("six")}
    given = declare(session, machine, bond(), vlan(**auto("storage")), bridge(**auto("boot")), six)
    machine_addresses.settle(session, machine, given)
    hosts = {host.address: (host.mac, host.name, host.domain) for host in state.read(session, settings).hosts}
    assert hosts == {"10.0.0.10": (MACS[0], "node-1", "lab.example"), "2001:db8:1::10": (None, "node-1", None)}


def test_a_name_does_not_lead_to_an_address_that_only_the_agent_has(session: Session, settings: Settings) -> None:
    machine = add_machine(session)
    given = declare(session, machine, {"name": "eth1", "type": "physical", **auto("office")})
    machine_addresses.settle(session, machine, given)
    hosts = {host.address: (host.mac, host.name) for host in state.read(session, settings).hosts}
    assert hosts == {"10.0.0.10": (MACS[0], None), "10.7.0.10": (None, "node-1")}
