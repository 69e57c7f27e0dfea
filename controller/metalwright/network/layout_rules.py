# SPDX-License-Identifier: GPL-3.0-or-later
"""What interfaces must be to each other: the rules of a machine's network, asked when it is declared and before a deploy."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import combinations

from sqlalchemy.orm import Session

from metalwright.network.interfaces import Interface, MachineNetwork
from metalwright.network.layout import Layout, clash, resolve, routes
from metalwright.store.models import Machine

IPV6_MTU = 1280
"""Bytes that every link of IPv6 carries at least (RFC 8200 section 5)."""


def check(session: Session, machine: Machine, declared: MachineNetwork) -> Layout:
    """Resolve a declaration and hold it against every rule; nothing is written.

    Raises ``Invalid``: those of ``layout.resolve`` and ``bond_empty``, ``bond_member``, ``bridge_member``, ``vlan_parent``,
    ``interface_in_two``, ``member_with_address``, ``mtu_too_large``, ``mtu_too_small``, ``mtu_differs``, ``vlan_twice``,
    ``vlan_mismatch``, ``address_twice``, ``route_unreachable``, ``route_twice``, ``no_address``.
    """
    layout = resolve(session, machine, declared)
    for rule in (_made_of, _in_two, _members_have_no_address, _mtu, _vlans, _addresses, _reachable, _routes, _some_address):
        rule(layout)
    return layout


def _made_of(layout: Layout) -> None:
    """What may stand on what: Linux takes more, and what is left out here is what never comes up by itself."""
    fit = {
        "bond": ("bond_member", ("physical",), "a bond is made of network cards"),
        "bridge": ("bridge_member", ("physical", "bond", "vlan"), "a bridge is made of cards, bonds and VLANs"),
        "vlan": ("vlan_parent", ("physical", "bond", "bridge"), "a VLAN is carried by a card, a bond or a bridge"),
    }
    for interface in layout.interfaces.values():
        if interface.type == "bond" and not interface.members:
            message = f"{layout.machine}: bond {interface.name} has no members."
            raise clash(layout.machine, "bond_empty", message, interface.name, "members", "Name the cards it is made of.")
        for name in interface.stands_on:
            code, types, rule = fit[interface.type]
            kind = layout.interfaces[name].type
            if kind not in types:
                message = f"{layout.machine}: {interface.type} {interface.name} is made of {kind} {name}: {rule}."
                raise clash(layout.machine, code, message, interface.name, name)


def _in_two(layout: Layout) -> None:
    """A member belongs to one; beside a bond nothing stands on it, since the bond takes every frame it has."""
    for name in layout.interfaces:
        users = [user for user in layout.interfaces.values() for below in user.stands_on if below == name]
        bonds = any(user.type == "bond" for user in users)
        holders = [f"{user.type} {user.name}" for user in users if bonds or user.type == "bridge"]
        if len(holders) > 1:
            message = f"{layout.machine}: {name} is in {holders[0]} and in {holders[1]}."
            hint = "Let it be in one; a VLAN beside a bond is carried by the bond." if bonds else "Let it be in one."
            raise clash(layout.machine, "interface_in_two", message, holders[0], holders[1], hint)


def _members_have_no_address(layout: Layout) -> None:
    for user in layout.interfaces.values():
        for name in user.members:
            if layout.interfaces[name].addressed:
                message = f"{layout.machine}: {name} has an address and is a member of {user.type} {user.name}."
                raise clash(layout.machine, "member_with_address", message, name, user.name, f"Give the address to {user.name}.")


def _mtu(layout: Layout) -> None:
    for interface in layout.interfaces.values():
        mtu = layout.mtu(interface.name)
        for name in interface.stands_on:
            below = layout.mtu(name)
            if interface.type == "bond" and below != mtu:
                message = f"{layout.machine}: {name} has an MTU of {below}, and its bond {interface.name} one of {mtu}."
                raise _mtu_clash(layout, "mtu_differs", message, name, below, interface.name, mtu, "Give it to the bond only.")
            if mtu > below:
                message = f"{layout.machine}: {interface.name} has an MTU of {mtu}, and {name}, which carries it, one of {below}."
                hint = f"Give {name} an MTU of {mtu}, or {interface.name} one of {below}."
                raise _mtu_clash(layout, "mtu_too_large", message, interface.name, mtu, name, below, hint)
        _mtu_of_vlan(layout, interface, mtu)
        if mtu < IPV6_MTU and any(place.family == 6 for place in layout.of(interface.name)):
            message = f"{layout.machine}: {interface.name} has an IPv6 address and an MTU of {mtu}; IPv6 needs {IPV6_MTU}."
            raise clash(layout.machine, "mtu_too_small", message, f"mtu {mtu}", f"IPv6 ({IPV6_MTU})")


def _mtu_of_vlan(layout: Layout, interface: Interface, mtu: int) -> None:
    vlans = [place.subnet.vlan for place in layout.of(interface.name) if place.subnet and place.subnet.vlan]
    if interface.name in layout.vlans:
        vlans.append(layout.vlans[interface.name])
    for vlan in vlans:
        if vlan.mtu is not None and mtu > vlan.mtu:
            message = f"{layout.machine}: {interface.name} has an MTU of {mtu}, and VLAN {vlan.name} one of {vlan.mtu}."
            hint = f"Give {interface.name} an MTU of {vlan.mtu}."
            raise _mtu_clash(layout, "mtu_too_large", message, interface.name, mtu, vlan.name, vlan.mtu, hint)


def _mtu_clash(layout: Layout, code: str, message: str, one: str, mtu: int, other: str, its: int, hint: str) -> Exception:
    return clash(layout.machine, code, message, f"{one} ({mtu})", f"{other} ({its})", hint)


def _vlans(layout: Layout) -> None:
    carried = [each for each in layout.interfaces.values() if each.type == "vlan"]
    for one, other in combinations(carried, 2):
        if one.parent == other.parent and layout.vids[one.name] == layout.vids[other.name]:
            message = f"{layout.machine}: {one.name} and {other.name} are both VLAN {layout.vids[one.name]} of {one.parent}."
            raise clash(layout.machine, "vlan_twice", message, one.name, other.name, "Give both addresses to one.")
    for place in layout.places:
        vid = layout.vids.get(place.interface.name)
        vlan = place.subnet.vlan if place.subnet else None
        if vid is not None and vlan is not None and vlan.vid != vid and place.subnet:
            message = (
                f"{layout.machine}: {place.interface.name} has VLAN {vid}, and subnet {place.subnet.name} is on VLAN {vlan.vid}."
            )
            raise clash(layout.machine, "vlan_mismatch", message, place.interface.name, place.subnet.name)


def _addresses(layout: Layout) -> None:
    for one, other in combinations(layout.places, 2):
        names = one.interface.name, other.interface.name
        if one.link.address is not None and one.link.address == other.link.address:
            message = f"{layout.machine}: {names[0]} and {names[1]} both have the address {one.link.address}."
            raise clash(layout.machine, "address_twice", message, *names)
        if one.link.mode == other.link.mode == "auto" and names[0] == names[1] and one.subnet is other.subnet and one.subnet:
            message = f"{layout.machine}: {names[0]} is to have two addresses of subnet {one.subnet.name} by itself."
            raise clash(layout.machine, "address_twice", message, *names, "Let one of them be static.")


def _reachable(layout: Layout) -> None:
    for interface in layout.interfaces.values():
        places = layout.of(interface.name)
        if any(place.subnet is None for place in places):
            continue  # what DHCP gives is not known before
        nets = [place.subnet.cidr for place in places if place.subnet]
        for route in interface.routes:
            via = ip_address(route.via)
            own = next((place for place in places if place.link.address == route.via), None)
            if own is None and (via.is_link_local or any(via in ip_network(net) for net in nets)):
                continue
            why = "which is its own address" if own else f"which none of its subnets reaches: {', '.join(nets)}"
            message = f"{layout.machine}: {interface.name} has a route to {route.to} via {route.via}, {why}."
            raise clash(layout.machine, "route_unreachable", message, f"via {route.via}", ", ".join(nets))


def _routes(layout: Layout) -> None:
    seen: dict[tuple[str, int | None], tuple[Interface, str]] = {}
    for interface, destination, via, metric in routes(layout):
        there = seen.get((destination, metric))
        if there is not None:
            one, other = f"{there[0].name} via {there[1]}", f"{interface.name} via {via}"
            how = f"both with metric {metric}" if metric is not None else "and neither has a metric"
            message = f"{layout.machine}: two routes lead to {destination}: {one} and {other}, {how}."
            raise clash(layout.machine, "route_twice", message, one, other, "Give them different metrics.")
        seen[destination, metric] = (interface, via)


def _some_address(layout: Layout) -> None:
    if layout.interfaces and not layout.places:
        message = f"{layout.machine}: none of its interfaces has an address, so nobody could reach it, and it nobody."
        names = ", ".join(layout.interfaces)
        raise clash(layout.machine, "no_address", message, names, "links", "Give one of them a link of mode auto.")
