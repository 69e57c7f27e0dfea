# SPDX-License-Identifier: GPL-3.0-or-later
"""A declared network held against the machine and the site: every name resolved, every rule checked; nothing is written.

Every refusal is ``Invalid`` with ``details``: ``machine``, ``rule``, and ``clash``, the two things that do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Invalid
from metalwright.network.interfaces import DEFAULT_ROUTES, Interface, Link, MachineNetwork
from metalwright.store.models import Machine, Subnet, Vlan

DEFAULT_MTU = 1500
"""Bytes an interface carries of which nothing is said (Ethernet, RFC 894)."""


@dataclass(frozen=True)
class Place:
    """A link with the interface it is of, and its subnet: None where DHCP gives an address of whatever network it is."""

    interface: Interface
    link: Link
    subnet: Subnet | None

    @property
    def family(self) -> int:
        """4 or 6; DHCP that names no subnet is IPv4."""
        return ip_network(self.subnet.cidr).version if self.subnet else 4


@dataclass(frozen=True)
class Layout:
    """A declaration that holds. ``interfaces`` are those declared, in their order, then cards that are only mentioned."""

    machine: str
    interfaces: Mapping[str, Interface]
    macs: Mapping[str, str]
    """The MAC address of each card, by its name here."""
    vids: Mapping[str, int]
    vlans: Mapping[str, Vlan]
    """The VLANs that are known by name or by a subnet on them, by the name of the interface."""
    boot: tuple[str, ...]
    """What stands on the card the machine boots from without a tag, that card first: a bond, a bridge."""
    places: tuple[Place, ...]
    """All links that give an address; those on ``boot`` first, from the top, the others in the order they were declared."""

    def of(self, name: str) -> list[Place]:
        """The links of an interface."""
        return [place for place in self.places if place.interface.name == name]

    def users(self, name: str) -> list[Interface]:
        """The interfaces that stand on the one named."""
        return [each for each in self.interfaces.values() if name in each.stands_on]

    def cards(self, name: str) -> list[str]:
        """The cards below an interface, or itself."""
        interface = self.interfaces[name]
        if interface.type == "physical":
            return [name]
        return [card for below in interface.stands_on for card in self.cards(below)]

    def mtu(self, name: str) -> int:
        """How many bytes it carries: what was said, or what the kernel makes of what it stands on or is part of."""
        interface = self.interfaces[name]
        if interface.mtu is not None:
            return interface.mtu
        if interface.parent is not None:
            return self.mtu(interface.parent)
        if interface.type == "bridge":
            return min((self.mtu(member) for member in interface.members), default=DEFAULT_MTU)
        bond = next((each for each in self.users(name) if each.type == "bond"), None)
        return bond.mtu if bond is not None and bond.mtu is not None else DEFAULT_MTU


def clash(machine: str, code: str, message: str, one: str, other: str, hint: str = "") -> Invalid:
    """The refusal of a declaration: ``code`` is the rule, ``one`` and ``other`` are what does not fit."""
    return Invalid(code, message, hint, machine=machine, rule=code, clash=[one, other])


def resolve(session: Session, machine: Machine, declared: MachineNetwork) -> Layout:
    """Find every card, VLAN and subnet that the declaration names.

    Raises ``Invalid``: ``interface_twice``, ``interface_unknown``, ``interface_loop``, ``nic_missing``, ``nic_twice``,
    ``vlan_unknown``, ``subnet_unknown``, ``address_outside_subnet``.
    """
    interfaces = _named(machine, declared)
    macs = _cards(machine, interfaces)
    _check_loops(machine, interfaces)
    vlans = _vlans(session, machine, interfaces)
    vids = {name: each.vid or vlans[name].vid for name, each in interfaces.items() if each.type == "vlan"}
    boot = _boot_chain(machine, interfaces, macs)
    order = [*reversed(boot), *(name for name in interfaces if name not in boot)]
    finder = _Subnets(session, machine, boot)
    places = tuple(
        Place(interfaces[name], link, finder.of(interfaces[name], link)) for name in order for link in interfaces[name].addressed
    )
    return Layout(machine.name, interfaces, macs, vids, vlans, boot, places)


def _named(machine: Machine, declared: MachineNetwork) -> dict[str, Interface]:
    """The interfaces by name, with the cards that others are made of and that are not declared themselves."""
    interfaces: dict[str, Interface] = {}
    for interface in declared.interfaces:
        if interface.name in interfaces:
            both = [f"{each.type} {each.name}" for each in (interfaces[interface.name], interface)]
            message = f"{machine.name}: two interfaces have the name {interface.name}."
            raise clash(machine.name, "interface_twice", message, both[0], both[1], "Give one another name.")
        interfaces[interface.name] = interface
    known = {nic.name for nic in machine.interfaces}
    for user in declared.interfaces:
        for name in user.stands_on:
            if name in interfaces:
                continue
            if name not in known:
                message = f"{machine.name}: {user.type} {user.name} is made of {name}, and there is no such interface."
                raise clash(machine.name, "interface_unknown", message, user.name, name, _which(machine))
            interfaces[name] = Interface(name=name, type="physical")
    return interfaces


def _cards(machine: Machine, interfaces: Mapping[str, Interface]) -> dict[str, str]:
    by_name = {nic.name: nic.mac for nic in machine.interfaces if nic.name}
    there = {nic.mac for nic in machine.interfaces}
    found: dict[str, str] = {}
    for name, interface in interfaces.items():
        if interface.type != "physical":
            continue
        mac = interface.mac or by_name.get(name)
        if mac is None or mac not in there:
            what = f"with the MAC address {mac}" if mac else f"of the name {name}"
            message = f"{machine.name} has no network card {what}, which {_why(interfaces, name)} needs."
            raise clash(machine.name, "nic_missing", message, _why(interfaces, name), mac or name, _which(machine))
        if other := next((each for each, taken in found.items() if taken == mac), None):
            message = f"{machine.name}: {other} and {name} are the same network card, {mac}."
            raise clash(machine.name, "nic_twice", message, other, name, "Use one of the names everywhere.")
        found[name] = mac
    return found


def _why(interfaces: Mapping[str, Interface], name: str) -> str:
    """What is to be told to need a card: what stands on it, else itself."""
    return next((f"{each.type} {each.name}" for each in interfaces.values() if name in each.stands_on), name)


def _which(machine: Machine) -> str:
    cards = ", ".join(f"{nic.name} ({nic.mac})" if nic.name else nic.mac for nic in machine.interfaces)
    unseen = "" if machine.hardware else " Their names are known once it was commissioned; until then, give MAC addresses."
    return f"Its network cards: {cards or 'none'}.{unseen}"


def _check_loops(machine: Machine, interfaces: Mapping[str, Interface]) -> None:
    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = [*way[way.index(name) :], name]
            message = f"{machine.name}: {' on '.join(circle)}: an interface can not stand on itself."
            raise clash(machine.name, "interface_loop", message, circle[0], circle[-2], "Leave one of them out.")
        for below in interfaces[name].stands_on:
            visit(below, (*way, name))

    for name in interfaces:
        visit(name, ())


def _vlans(session: Session, machine: Machine, interfaces: Mapping[str, Interface]) -> dict[str, Vlan]:
    found: dict[str, Vlan] = {}
    for interface in interfaces.values():
        if interface.vlan is None:
            continue
        vlan = session.scalar(select(Vlan).where(Vlan.name == interface.vlan))
        if vlan is None:
            message = f"{machine.name}: {interface.name} is on VLAN {interface.vlan}, and there is none of that name."
            hint = "'metalwright vlan list' shows them; or give its number as vid."
            raise clash(machine.name, "vlan_unknown", message, interface.name, interface.vlan, hint)
        found[interface.name] = vlan
    return found


def _boot_chain(machine: Machine, interfaces: Mapping[str, Interface], macs: Mapping[str, str]) -> tuple[str, ...]:
    booted = machine.boot_interface.mac if machine.boot_interface else None
    chain = [name for name, mac in macs.items() if mac == booted]
    while chain:
        above = [each.name for each in interfaces.values() if chain[-1] in each.members]
        if not above:
            break
        chain.append(above[0])
    return tuple(chain)


class _Subnets:
    """Finds the subnet of a link."""

    def __init__(self, session: Session, machine: Machine, boot: tuple[str, ...]) -> None:
        self._machine = machine
        self._boot = boot
        self._all = {subnet.name: subnet for subnet in session.scalars(select(Subnet).order_by(Subnet.name))}

    def of(self, interface: Interface, link: Link) -> Subnet | None:
        """The subnet of a link; None only of one by DHCP that says nothing."""
        subnet = self._named(interface, link)
        if subnet is None and link.address is not None:
            subnet = next((each for each in self._all.values() if ip_address(link.address) in ip_network(each.cidr)), None)
        if subnet is None and link.mode != "dhcp":
            raise self._nowhere(interface, link)
        if subnet is not None and link.address is not None and ip_address(link.address) not in ip_network(subnet.cidr):
            message = f"{link.address} of {interface.name} lies outside {subnet.cidr} of subnet {subnet.name}."
            raise clash(self._machine.name, "address_outside_subnet", message, link.address, subnet.cidr)
        return subnet

    def _named(self, interface: Interface, link: Link) -> Subnet | None:
        if link.subnet is None:
            return self._booted_on() if link.mode == "auto" and interface.name in self._boot else None
        if link.subnet not in self._all:
            message = f"{self._machine.name}: {interface.name} has an address of subnet {link.subnet}, and there is none."
            hint = f"There are: {', '.join(self._all)}." if self._all else "Add it: metalwright subnet add"
            raise clash(self._machine.name, "subnet_unknown", message, interface.name, link.subnet, hint)
        return self._all[link.subnet]

    def _booted_on(self) -> Subnet | None:
        boots = self._machine.boot_interface
        if boots is not None and boots.subnet is not None:
            return boots.subnet
        candidates = [each for each in self._all.values() if each.dhcp and ":" not in each.cidr]
        return candidates[0] if len(candidates) == 1 else None

    def _nowhere(self, interface: Interface, link: Link) -> Invalid:
        if link.address is not None:
            message = f"{link.address} of {interface.name} lies in no subnet."
            hint = "'metalwright subnet list' shows them."
            return clash(self._machine.name, "address_outside_subnet", message, interface.name, link.address, hint)
        message = f"{self._machine.name}: nothing says of which subnet {interface.name} is to have an address."
        hint = f"Say it: subnet: {next(iter(self._all))}" if self._all else "Add one: metalwright subnet add"
        return clash(self._machine.name, "subnet_unknown", message, interface.name, "mode auto", hint)


def routes(layout: Layout) -> Iterator[tuple[Interface, str, str, int | None]]:
    """All routes: interface, destination, router and metric.

    The first link of each family on a subnet that has a gateway brings the default route, unless one is declared: further
    gateways are none, because two default routes without metrics would take turns.
    """
    declared = [route for each in layout.interfaces.values() for route in each.routes]
    said = {route.family for route in declared if route.destination in DEFAULT_ROUTES.values()}
    for place in layout.places:
        gateway = place.subnet.gateway if place.subnet and place.link.mode != "dhcp" else None
        if gateway and place.family not in said:
            said.add(place.family)
            yield place.interface, DEFAULT_ROUTES[place.family], gateway, None
    for interface in layout.interfaces.values():
        for route in interface.routes:
            yield interface, route.destination, route.via, route.metric
