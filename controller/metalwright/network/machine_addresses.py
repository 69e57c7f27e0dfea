# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of a machine's declared network: given, kept, and given back.

A machine that has a system keeps the addresses it was deployed with until the next deployment has succeeded: new ones are added
when they are declared, old ones are freed when nothing uses them any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, MetalwrightError
from metalwright.network import addresses, layout_rules
from metalwright.network.interfaces import of_store
from metalwright.network.layout import Layout, Place
from metalwright.store.models import InterfaceAddress, Machine, Subnet

HELD = ""
"""The interface of an address that is only held: no interface has this name."""


@dataclass(frozen=True)
class Given:
    """What a machine is to have: all its addresses beside the boot interface's, and those that its name leads to."""

    kept: Sequence[str] = ()
    named: Sequence[str] = ()


def layout_of(session: Session, machine: Machine) -> Layout | None:
    """The declared network, checked against what there is now; None if there is none. Raises as ``layout_rules.check``."""
    return layout_rules.check(session, machine, of_store(machine.network)) if machine.network else None


def prepare(session: Session, machine: Machine, wanted: str, ours: str | None) -> Given:
    """Give a machine that is about to be deployed its addresses; the others it has are freed by ``settle``.

    ``wanted`` is the deployment's ``address``; where a network is declared, that says it all. Raises ``Conflict``:
    ``network_declared``, ``address_taken``, ``no_free_address``; ``Invalid`` as ``layout_rules.check`` and ``ensure_address``.
    """
    check_wanted(machine, wanted)
    layout = layout_of(session, machine)
    if layout is None:
        addresses.ensure_address(session, machine, wanted, ours=ours)
        return Given()
    return give(session, machine, layout, ours, boot=True)


def check_wanted(machine: Machine, wanted: str) -> None:
    """Raise ``Conflict`` (``network_declared``) if a deployment asks for an address of a machine whose network is declared."""
    if machine.network and wanted != "auto":
        message = f"The network of {machine.name} is declared, and address {wanted} is asked for beside it."
        hint = f"Say it there (metalwright machine network set {machine.name} FILE), or leave out the address."
        raise Conflict("network_declared", message, hint, machine=machine.name, address=wanted)


def give(session: Session, machine: Machine, layout: Layout, ours: str | None, *, boot: bool) -> Given:
    """Have an address for every link of the layout that is to have one of ours, in the caller's transaction.

    ``boot``: whether the boot interface's own address may become another; a machine that has a system is known by it.
    """
    _lock(session, machine, layout)
    shared = shared_with_boot(machine, layout)
    if boot:
        _give_boot(session, machine, shared, ours)
    elif shared is not None and shared.link.address is not None and shared.subnet is not None:
        addresses.check(session, machine, ip_address(shared.link.address), shared.subnet, ours)
    for place in layout.places:
        if place is not shared and place.link.mode in ("auto", "static") and place.subnet is not None:
            _give(session, machine, layout, place, place.subnet, ours)
    session.flush()
    found = addresses_of(machine, layout)
    kept = [address for (place, address) in found if place is not shared]
    return Given(kept, _first_of_each_family(machine, layout, found))


def addresses_of(machine: Machine, layout: Layout) -> list[tuple[Place, str]]:
    """The links that have an address of ours, each with it, in the order of ``layout.places``."""
    shared = shared_with_boot(machine, layout)
    found = []
    for place in layout.places:
        if place.link.mode == "dhcp":
            continue
        row = _row(machine, layout, place)
        own = machine.boot_interface.address if place is shared and machine.boot_interface else row.address if row else None
        if address := place.link.address or own:
            found.append((place, address))
    return found


def hold(session: Session, machine: Machine, former: str | None) -> None:
    """Keep an address that a deployed machine had on its boot interface from others, as long as its deployment may lead back.

    ``settle`` and ``let_go`` free it.
    """
    boots = machine.boot_interface
    held = {row.address for row in machine.addresses}
    if former is None or boots is None or boots.subnet is None or former == boots.address or former in held:
        return
    machine.addresses.append(InterfaceAddress(interface=HELD, subnet=boots.subnet, address=former))
    session.flush()


def let_go(session: Session, machine: Machine) -> None:
    """Free what ``hold`` has kept: the machine has it again, or never will."""
    machine.addresses = [row for row in machine.addresses if row.interface != HELD]
    session.flush()


def settle(session: Session, machine: Machine, given: Given) -> bool:
    """Free what the machine no longer has, and let its name lead to what it has; answers whether that is a change."""
    kept = [row for row in machine.addresses if row.address in given.kept]
    changed = len(kept) < len(machine.addresses) or list(given.named) != machine.named
    machine.addresses, machine.named = kept, list(given.named)
    session.flush()
    return changed


def shared_with_boot(machine: Machine, layout: Layout) -> Place | None:
    """The link that has the boot interface's own address: the first of IPv4 on it, or on what stands on it, on its subnet."""
    boots = machine.boot_interface
    for place in layout.places:
        there = place.subnet is not None and boots is not None and boots.subnet_id in (None, place.subnet.id)
        if there and place.interface.name in layout.boot and place.family == 4 and place.link.mode != "dhcp":
            return place
    return None


def _lock(session: Session, machine: Machine, layout: Layout) -> None:
    """One at a time chooses from a subnet; all lock them in the order of their names."""
    wanted = {place.subnet.id for place in layout.places if place.subnet}
    boots = machine.boot_interface
    statement = select(Subnet).order_by(Subnet.name).with_for_update()
    if boots is not None and boots.subnet_id is not None:  # else that of the boot interface may be any
        statement = statement.where(Subnet.id.in_(wanted | {boots.subnet_id}))
    session.scalars(statement).all()


def _give_boot(session: Session, machine: Machine, shared: Place | None, ours: str | None) -> None:
    """Have an address for the agent: the one that the system has, too, where it can be."""
    if shared is not None:
        if machine.boot_interface is not None:
            machine.boot_interface.subnet = shared.subnet
        addresses.ensure_address(session, machine, shared.link.address or "auto", ours=ours)
        return
    try:
        addresses.ensure_address(session, machine, ours=ours)
    except MetalwrightError:
        return  # the agent does its work on any address that DHCP hands out


def _fixed(layout: Layout) -> set[str]:
    return {place.link.address for place in layout.places if place.link.address is not None}


def _row(machine: Machine, layout: Layout, place: Place) -> InterfaceAddress | None:
    """The address that a link of mode auto has."""
    fixed, subnet = _fixed(layout), place.subnet.id if place.subnet else None
    rows = (row for row in machine.addresses if row.subnet_id == subnet and row.address not in fixed)
    return next((row for row in rows if row.interface == place.interface.name), None)


def _give(session: Session, machine: Machine, layout: Layout, place: Place, subnet: Subnet, ours: str | None) -> None:
    asked = place.link.address
    if asked is not None:
        addresses.check(session, machine, ip_address(asked), subnet, ours)
        boots = machine.boot_interface
        if boots is not None and boots.address == asked:
            message = f"{asked}, asked for {place.interface.name}, is the one by which {machine.name} boots from {boots.mac}."
            hint = "Ask for another; or have it on that card, or on what is made of it."
            raise Conflict("address_taken", message, hint, address=asked, machine=machine.name, mac=boots.mac)
        row = next((row for row in machine.addresses if row.address == asked), None)
    else:
        row = _row(machine, layout, place) or _left_over(machine, layout, subnet)
        if row is not None and not addresses.allows(subnet, ip_address(row.address), ours):
            row.address = addresses.first_free(session, machine, subnet, ours)
    if row is None:
        address = asked or addresses.first_free(session, machine, subnet, ours)
        row = InterfaceAddress(subnet=subnet, address=address)
        machine.addresses.append(row)
    row.interface = place.interface.name
    session.flush()  # the next one is not to be given the same


def _left_over(machine: Machine, layout: Layout, subnet: Subnet) -> InterfaceAddress | None:
    """An address of the subnet that no link has: that of an interface that has another name now."""
    used = {address for _, address in addresses_of(machine, layout)}
    return next((row for row in machine.addresses if row.subnet_id == subnet.id and row.address not in used), None)


def _first_of_each_family(machine: Machine, layout: Layout, found: Sequence[tuple[Place, str]]) -> list[str]:
    """The main addresses: of each family the first that is known; what DHCP gives to the boot interface's card is."""
    known = {id(place): address for place, address in found}
    by_mac = machine.boot_interface.address if machine.boot_interface else None
    named: dict[int, str] = {}
    for place in layout.places:
        dhcp = by_mac if place.family == 4 and place.link.mode == "dhcp" and place.interface.name in layout.boot else None
        if address := known.get(id(place), dhcp):
            named.setdefault(place.family, address)
    return list(named.values())
