# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's network as cloud-init reads it: network configuration, version 2, which netplan takes as it is.

Cards are known by their MAC address and keep the name that their system gives them: renaming one that is up already fails, and
nothing here needs it, since whatever stands on a card names its entry. Only one with an MTU of its own is told its name: netplan
writes a .link file for it, beside which udev has no other rule for names (systemd.link(5)), and from the next boot on it would be
eth2. What is made of others has the name that was declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from sqlalchemy.orm import Session

from metalwright.network.interfaces import Interface
from metalwright.network.layout import Layout, Place, routes
from metalwright.network.machine_addresses import addresses_of, layout_of
from metalwright.store.models import Machine, Subnet

_SECTIONS = {"physical": "ethernets", "bond": "bonds", "bridge": "bridges", "vlan": "vlans"}
_DHCP = {"dhcp4": True, "dhcp-identifier": "mac"}
"""The MAC address as client identifier, as the firmware and the agent have it: the same address for all."""


@dataclass(frozen=True)
class Site:
    """What holds where a subnet says nothing: name servers, the default domain."""

    dns_servers: Sequence[str]
    domain: str


def of(session: Session, machine: Machine, wanted: str, site: Site) -> dict[str, Any]:
    """The configuration: of the declared network, else of the boot interface alone, by DHCP if ``wanted`` is ``dhcp``.

    Other interfaces are left as the image has them. Empty for a machine of which no card is known.
    """
    layout = layout_of(session, machine)
    return _declared(machine, layout, site) if layout else _boot_interface(machine, wanted, site)


def main_domain(session: Session, machine: Machine) -> str | None:
    """The domain that the machine's name is in, if its main subnet says one."""
    layout = layout_of(session, machine)
    boots = machine.boot_interface
    subnet = layout.places[0].subnet if layout else boots.subnet if boots else None
    return subnet.domain if subnet else None


def _boot_interface(machine: Machine, wanted: str, site: Site) -> dict[str, Any]:
    boots = machine.boot_interface
    if boots is None:
        return {}
    config: dict[str, Any] = {"match": {"macaddress": boots.mac}, **_DHCP}
    if boots.address and boots.subnet and wanted != "dhcp":
        config = {"match": config["match"], "dhcp4": False, "addresses": [_with_prefix(boots.address, boots.subnet)]}
        if boots.subnet.gateway:
            config["routes"] = [{"to": "0.0.0.0/0", "via": boots.subnet.gateway}]
        config |= _names([boots.subnet], site, main=True)
    return {"version": 2, "ethernets": {boots.name or "boot": config}}


def _declared(machine: Machine, layout: Layout, site: Site) -> dict[str, Any]:
    found = addresses_of(machine, layout)
    sections: dict[str, dict[str, Any]] = {}
    for name, interface in layout.interfaces.items():
        config = _what(layout, interface)
        if interface.mtu:
            config |= {"mtu": interface.mtu, **({"set-name": name} if interface.type == "physical" else {})}
        config |= _addressed(layout, name, [(place, address) for place, address in found if place.interface.name == name], site)
        sections.setdefault(_SECTIONS[interface.type], {})[name] = config
    return {"version": 2, **{section: sections[section] for section in _SECTIONS.values() if section in sections}}


def _what(layout: Layout, interface: Interface) -> dict[str, Any]:
    match interface.type:
        case "physical":
            return {"match": {"macaddress": layout.macs[interface.name]}}
        case "bond":
            return {"interfaces": interface.members, "macaddress": _mac(layout, interface), "parameters": _bond(interface)}
        case "bridge":
            stp: dict[str, Any] = {"stp": bool(interface.stp)}  # netplan's default is true
            if interface.forward_delay is not None:
                stp["forward-delay"] = interface.forward_delay
            made: dict[str, Any] = {"interfaces": interface.members, "parameters": stp}
            return {**made, "macaddress": _mac(layout, interface)} if interface.members else made
        case _:
            return {"id": layout.vids[interface.name], "link": interface.parent}


def _mac(layout: Layout, interface: Interface) -> str:
    """That of a card below, whatever comes up first: the one it boots from, the primary one, or the first.

    Switches and DHCP servers then know the machine by the address they have seen it boot with.
    """
    cards = layout.cards(interface.name)
    chosen = next((card for card in cards if card in layout.boot), interface.primary or cards[0])
    return layout.macs[chosen]


def _bond(bond: Interface) -> dict[str, Any]:
    said = {
        "lacp-rate": bond.lacp_rate,
        "transmit-hash-policy": bond.transmit_hash_policy,
        "primary": bond.primary,
    }
    watch = bond.mii_monitor_interval or 100  # without it, a member whose cable is out is never noticed
    return {"mode": bond.bond_mode, "mii-monitor-interval": watch, **{name: value for name, value in said.items() if value}}


def _addressed(layout: Layout, name: str, found: list[tuple[Place, str]], site: Site) -> dict[str, Any]:
    places = layout.of(name)
    if not places:
        return {"dhcp4": False, "optional": True}  # a boot does not wait for a cable that nothing needs
    config: dict[str, Any] = {"dhcp4": False}
    for place in places:
        if place.link.mode == "dhcp":
            config |= _DHCP if place.family == 4 else {"dhcp6": True}
    if fixed := [_with_prefix(address, place.subnet) for place, address in found if place.subnet]:
        config["addresses"] = fixed
    ways = [
        {"to": to, "via": via, **({} if metric is None else {"metric": metric})}
        for interface, to, via, metric in routes(layout)
        if interface.name == name
    ]
    if ways:
        config["routes"] = ways
    subnets = [place.subnet for place, _ in found if place.subnet]
    return config | (_names(subnets, site, main=places[0] is layout.places[0]) if subnets else {})


def _with_prefix(address: str, subnet: Subnet) -> str:
    return f"{address}/{ip_network(subnet.cidr).prefixlen}"


def _names(subnets: Sequence[Subnet], site: Site, *, main: bool) -> dict[str, Any]:
    """Name servers and search domains of the subnets; where they say none, the main interface has those of the site."""
    servers = list(dict.fromkeys(server for subnet in subnets for server in subnet.dns_servers))
    domains = [domain for subnet in subnets for domain in (subnet.domain or (site.domain if main else None), *subnet.search)]
    told: dict[str, list[str]] = {}
    if addresses := servers or (list(site.dns_servers) if main else []):
        told["addresses"] = addresses
    if search := list(dict.fromkeys(domain for domain in domains if domain)):
        told["search"] = search
    return {"nameservers": told} if told else {}
