# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether the definition of a subnet makes sense, and which two things clash when it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from itertools import combinations
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid
from metalwright.store.models import Interface, Subnet

FIELDS = (
    "name",
    "cidr",
    "gateway",
    "dns_servers",
    "domain",
    "dhcp",
    "enlist",
    "dynamic_start",
    "dynamic_end",
    "static_start",
    "static_end",
    "rack",
)
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_Bounds = tuple[IPv4Address, IPv4Address]


def validate(session: Session, given: Mapping[str, Any], *, existing: Subnet | None = None) -> dict[str, Any]:
    """Check a definition and answer the columns of ``FIELDS`` it comes to, in their normal form; nothing is written.

    ``given`` holds fields of a new subnet, or those that change of the ``existing`` one. A subnet that exists keeps room for the
    addresses its machines have.

    Raises ``Invalid``: ``name_invalid``, ``cidr_invalid``, ``address_invalid``, ``domain_invalid``, ``range_incomplete``,
    ``range_outside_subnet``, ``ranges_overlap``, ``gateway_outside_subnet``, ``gateway_in_range``; ``Conflict``: ``name_taken``,
    ``subnet_overlap``, ``address_in_use``. Each names both things that clash.
    """
    fields: dict[str, Any] = {name: getattr(existing, name) for name in FIELDS} if existing is not None else {}
    fields.update({name: given[name] for name in FIELDS if name in given})
    if not _NAME.fullmatch(str(fields.get("name", ""))):
        message = f"{fields.get('name', '')!r} is no name for a subnet."
        raise Invalid("name_invalid", message, "Use up to 63 of a-z, 0-9, dot, dash and underscore.", name=fields.get("name"))
    network = _network(fields.get("cidr"))
    fields["cidr"] = str(network)
    gateway = _address("gateway", fields.get("gateway"))
    fields["gateway"] = str(gateway) if gateway else None
    fields["dns_servers"] = [str(_needed("dns_servers", server)) for server in fields.get("dns_servers") or ()]
    fields["domain"] = _domain(fields.get("domain"))
    ranges = {kind: bounds for kind in ("dynamic", "static") if (bounds := _bounds(kind, fields, network))}
    _check_ranges(ranges)
    _check_gateway(gateway, network, ranges)
    _check_others(session, fields["name"], network, existing)
    if existing is not None:
        _check_addresses(session, existing, network, ranges.get("dynamic"), gateway)
    return fields


def _network(cidr: Any) -> IPv4Network:
    try:
        network = IPv4Network(cidr, strict=False) if isinstance(cidr, str) and "/" in cidr else None
    except (AddressValueError, NetmaskValueError, ValueError):
        network = None
    if network is None or not 8 <= network.prefixlen <= 30:
        message = f"{cidr!r} is no IPv4 subnet of 2 to 16,777,214 addresses."
        raise Invalid("cidr_invalid", message, "Write it as 10.0.0.0/24.", cidr=cidr)
    if str(network.network_address) != str(cidr).partition("/")[0]:
        message = f"{cidr} is the address of a host in {network}."
        raise Invalid("cidr_invalid", message, f"Write {network}.", cidr=cidr)
    return network


def _address(field: str, value: Any) -> IPv4Address | None:
    return None if value is None or value == "" else _needed(field, value)


def _needed(field: str, value: Any) -> IPv4Address:
    try:
        return IPv4Address(value)
    except (AddressValueError, ValueError):
        raise Invalid("address_invalid", f"{field}: {value!r} is no IPv4 address.", "", field=field, address=value) from None


def _domain(value: Any) -> str | None:
    if value is None or value == "":
        return None
    domain = str(value).lower().rstrip(".")
    if not _DOMAIN.fullmatch(domain):
        raise Invalid("domain_invalid", f"{value!r} is no domain name.", "Write it as lab.example.com.", domain=value)
    return domain


def _bounds(kind: str, fields: dict[str, Any], network: IPv4Network) -> _Bounds | None:
    names = f"{kind}_start", f"{kind}_end"
    start, end = (_address(name, fields.get(name)) for name in names)
    fields.update({name: str(bound) if bound else None for name, bound in zip(names, (start, end), strict=True)})
    if start is None and end is None:
        return None
    if start is None or end is None:
        there, missing = (names[0], names[1]) if end is None else (names[1], names[0])
        raise Invalid("range_incomplete", f"{there} is given but {missing} is not.", "Give both or none.", field=missing)
    if start > end:
        message = f"The {kind} range ends at {end}, before it starts at {start}."
        raise Invalid("range_incomplete", message, "Swap the two.", field=names[0])
    for bound in (start, end):
        if bound not in network or bound in (network.network_address, network.broadcast_address):
            first, last = network.network_address + 1, network.broadcast_address - 1
            message = f"{bound} of the {kind} range is no address for a host in {network}."
            raise Invalid(
                "range_outside_subnet", message, f"Hosts have {first} to {last}.", address=str(bound), cidr=str(network)
            )
    return start, end


def _check_ranges(ranges: Mapping[str, _Bounds]) -> None:
    for (one, (start, end)), (other, (other_start, other_end)) in combinations(ranges.items(), 2):
        if start <= other_end and other_start <= end:
            message = f"The {one} range {start} to {end} overlaps the {other} range {other_start} to {other_end}."
            raise Invalid("ranges_overlap", message, "An address is either given to anyone or to one machine.")


def _check_gateway(gateway: IPv4Address | None, network: IPv4Network, ranges: Mapping[str, _Bounds]) -> None:
    if gateway is None:
        return
    if gateway not in network or gateway in (network.network_address, network.broadcast_address):
        message = f"The gateway {gateway} is no address for a host in {network}."
        raise Invalid("gateway_outside_subnet", message, "", gateway=str(gateway), cidr=str(network))
    for kind, (start, end) in ranges.items():
        if start <= gateway <= end:
            message = f"The gateway {gateway} lies in the {kind} range {start} to {end}."
            raise Invalid("gateway_in_range", message, "Machines would be given its address.", gateway=str(gateway), range=kind)


def _check_others(session: Session, name: str, network: IPv4Network, existing: Subnet | None) -> None:
    for other in session.scalars(select(Subnet).order_by(Subnet.name)):
        if existing is not None and other.id == existing.id:
            continue
        if other.name == name:
            message = f"There is a subnet {name} already, {other.cidr}."
            raise Conflict("name_taken", message, "Choose another name.", name=name, subnet=other.id)
        if network.overlaps(IPv4Network(other.cidr)):
            message = f"{network} overlaps {other.cidr} of subnet {other.name}."
            raise Conflict("subnet_overlap", message, "", cidr=str(network), subnet=other.name)


def _check_addresses(
    session: Session, existing: Subnet, network: IPv4Network, dynamic: _Bounds | None, gateway: IPv4Address | None
) -> None:
    statement = select(Interface).where(Interface.subnet_id == existing.id, Interface.address.is_not(None))
    for interface in session.scalars(statement.order_by(Interface.address)):
        address = IPv4Address(interface.address or "")
        if address not in network:
            clash = f"lies outside {network}"
        elif dynamic is not None and dynamic[0] <= address <= dynamic[1]:
            clash = f"lies in the dynamic range {dynamic[0]} to {dynamic[1]}"
        elif address == gateway:
            clash = "would be the gateway's"
        else:
            continue
        name = interface.machine.name
        message = f"{address} of {name} {clash}."
        raise Conflict("address_in_use", message, f"Release {name} or choose otherwise.", address=str(address), machine=name)
