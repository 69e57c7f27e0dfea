# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives machines their addresses: each to one of them, kept for as long as the machine exists.

Here are the boot interface's, which DHCP knows by its MAC address, and the rules for all; those of a declared network are in
``machine_addresses``.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid
from metalwright.network import notation, ranges
from metalwright.network.notation import Address
from metalwright.store.models import Interface, InterfaceAddress, Machine, Reservation, Subnet


def ensure_address(session: Session, machine: Machine, wanted: str = "auto", *, ours: str | None = None) -> str | None:
    """See to it that the machine's boot interface has the address that is wanted, in the caller's transaction.

    ``auto``: the one that is reserved for its card; else the one it has, as long as its subnet still allows it; else the first
    free one of the subnet's static ranges.
    ``dhcp``: none of its own, DHCP gives it one of the dynamic range; answers None. An address: that one.

    The subnet is the one the interface is on; if none is known, the one an address that was asked for lies in, else the only
    subnet with DHCP. The interface is on that subnet from then on.

    ``ours`` is the controller's own address, which nobody gets; nor does anybody get the gateway's or a name server's.

    Raises ``Invalid``: ``no_subnet``, ``address_invalid``, ``address_outside_range``; ``Conflict``: ``address_taken``, whose
    ``details`` name who has it, or ``no_free_address``.
    """
    interface = machine.boot_interface
    if interface is None:
        raise Invalid("no_subnet", f"{machine.name} has no network interface.", "Add its MAC address.", machine=machine.name)
    if wanted == "dhcp":
        interface.address = None
        return None
    asked = None if wanted == "auto" else _parse(wanted)
    subnet = _subnet(session, machine, interface, asked)
    if asked is not None:
        check(session, machine, asked, subnet, ours)
        interface.address = str(asked)
    elif reserved := _reserved(session, interface, subnet):
        interface.address = reserved
    elif interface.address is None or not allows(subnet, IPv4Address(interface.address), ours):
        interface.address = first_free(session, machine, subnet, ours)
    interface.subnet = subnet
    session.flush()
    return interface.address


def _parse(wanted: str) -> IPv4Address:
    try:
        return IPv4Address(wanted)
    except ValueError:
        message = f"{wanted!r} is no IPv4 address."
        raise Invalid("address_invalid", message, "Ask for 'auto', 'dhcp' or an address.", address=wanted) from None


def _subnet(session: Session, machine: Machine, interface: Interface, asked: IPv4Address | None) -> Subnet:
    if interface.subnet_id is not None:
        known = session.get(Subnet, interface.subnet_id, with_for_update=True)  # one at a time chooses from a subnet
        if known is not None:
            return known
    subnets = session.scalars(select(Subnet).order_by(Subnet.name).with_for_update()).all()
    if asked is not None:
        subnets = [subnet for subnet in subnets if asked in ip_network(subnet.cidr)]
        if not subnets:
            message = f"{asked}, asked for {machine.name}, lies in no subnet."
            raise Invalid("address_outside_range", message, "'metalwright subnet list' shows them.", address=str(asked))
        return subnets[0]
    candidates = [subnet for subnet in subnets if subnet.dhcp and ip_network(subnet.cidr).version == 4]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        message = f"There is no subnet with DHCP for {machine.name} to have an address in."
        raise Invalid("no_subnet", message, "Add one: metalwright subnet add", machine=machine.name)
    names = [subnet.name for subnet in candidates]
    message = f"{machine.name} is on none of the subnets yet, and it could be any of {', '.join(names)}."
    raise Invalid("no_subnet", message, "Say on which subnet its interface is, or ask for an address.", subnets=names)


def _reserved(session: Session, interface: Interface, subnet: Subnet) -> str | None:
    statement = select(Reservation.address).where(Reservation.mac == interface.mac, Reservation.subnet_id == subnet.id)
    return session.scalar(statement)


def _why_not(subnet: Subnet, address: Address) -> str | None:
    network = ip_network(subnet.cidr)
    if address not in network:
        return f"is outside {subnet.cidr}"
    if not notation.is_host(address, network):
        return "is the subnet's own or its broadcast address"
    there = ranges.which(ranges.of(subnet), address)
    if there is not None and there.kind == "dynamic":
        return f"lies in the dynamic range {there}, which DHCP gives to anyone"
    if there is not None and there.kind == "reserved":
        return f"lies in the reserved range {there}"
    return None


def _role(subnet: Subnet, address: Address, ours: str | None) -> str | None:
    """What the network itself uses the address for; None when it is free for machines."""
    roles: dict[str | None, str] = {
        **dict.fromkeys(subnet.dns_servers, "a name server"),
        ours: "the controller",
        subnet.gateway: "the gateway",
    }
    return roles.get(str(address))


def allows(subnet: Subnet, address: Address, ours: str | None) -> bool:
    """Whether a machine may have the address, free or not."""
    return _why_not(subnet, address) is None and _role(subnet, address, ours) is None


def check(session: Session, machine: Machine, asked: Address, subnet: Subnet, ours: str | None) -> None:
    """Raise unless the machine may have the address that was asked for: ``address_outside_range``, ``address_taken``."""
    what = {"address": str(asked), "subnet": subnet.name}
    reason = _why_not(subnet, asked)
    if reason:
        static = " and ".join(map(str, ranges.of(subnet, "static")))
        hint = f"Static in {subnet.name}: {static}." if static else ""
        message = f"{asked}, asked for {machine.name} on subnet {subnet.name}, {reason}."
        raise Invalid("address_outside_range", message, hint, **what)
    if role := _role(subnet, asked, ours):
        message = f"{asked}, asked for {machine.name}, is {role} of subnet {subnet.name}."
        raise Conflict("address_taken", message, "Ask for another.", **what)
    for table in (Interface, InterfaceAddress):
        holders = select(Machine.name).join(table).where(table.address == str(asked), Machine.id != machine.id)
        if holder := session.scalar(holders):
            message = f"{asked}, asked for {machine.name}, belongs to {holder}."
            raise Conflict("address_taken", message, "Ask for another, or for 'auto'.", **what, machine=holder)
    kept = session.scalar(select(Reservation).where(Reservation.address == str(asked)))
    if kept is not None and kept.mac not in {interface.mac for interface in machine.interfaces}:
        message = f"{asked}, asked for {machine.name}, is reserved for {kept.name or 'the card'} {kept.mac}."
        raise Conflict("address_taken", message, "Ask for another, or remove the reservation.", **what, mac=kept.mac)


def first_free(session: Session, machine: Machine, subnet: Subnet, ours: str | None) -> str:
    """The first address of the static ranges that nobody has. Raises ``Conflict`` (``no_free_address``)."""
    static = ranges.of(subnet, "static")
    widen = f"metalwright range add {subnet.name} static FIRST-LAST"
    if not static:
        message = f"Subnet {subnet.name} has no static range, so there is no address for {machine.name}."
        raise Conflict("no_free_address", message, f"Give it one ({widen}), or ask for 'dhcp'.", subnet=subnet.name)
    taken = {
        address
        for table in (Interface, InterfaceAddress, Reservation)
        for (address,) in session.execute(select(table.address).where(table.subnet_id == subnet.id, table.address.is_not(None)))
    }
    for bounds in static:
        for text in notation.written(bounds.start, bounds.end):
            if text not in taken and allows(subnet, ip_address(text), ours):
                return text
    message = (
        f"All addresses of subnet {subnet.name} from {' and from '.join(map(str, static))} are taken; "
        f"there is none for {machine.name}."
    )
    hint = f"Widen a static range (metalwright range edit {static[-1].start} --end LAST), add one ({widen}), or delete machines."
    raise Conflict("no_free_address", message, hint, subnet=subnet.name, ranges=[str(bounds) for bounds in static])
