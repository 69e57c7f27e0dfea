# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether the definition of a subnet makes sense, and which two things clash when it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.network import domains, holders, naming, notation, ranges, vlans
from metalwright.network.notation import Address, Network
from metalwright.network.ranges import Bounds
from metalwright.store.models import Domain, IpRange, Machine, Record, Subnet, Vlan

FIELDS = (
    "name",
    "cidr",
    "gateway",
    "dns_servers",
    "ntp_servers",
    "search",
    "domain",
    "dhcp",
    "enlist",
    "relays",
    "rack",
)


@dataclass(frozen=True)
class Definition:
    """What a subnet comes to: its columns of ``FIELDS``, its VLAN, and its ranges with their comments."""

    columns: dict[str, Any]
    vlan: Vlan | None
    ranges: dict[Bounds, str]


def define(session: Session, given: Mapping[str, Any], now: datetime, *, existing: Subnet | None = None) -> Definition:
    """Check a definition and answer what it comes to, in its normal form; but for a domain that it needs, nothing is written.

    ``given`` holds fields of a new subnet, or those that change of the ``existing`` one; ``vlan`` is a name, ``ranges`` are all
    ranges as ``kind, start, end, comment``. A subnet that exists keeps room for the addresses that machines, reservations and
    clients of DHCP have.

    Raises ``Invalid``: ``name_invalid``, ``cidr_invalid``, ``address_invalid``, ``domain_invalid``, ``gateway_outside_subnet``,
    ``relay_inside_subnet``, ``mtu_too_small``, those of ``ranges`` and ``domains.have``; ``Conflict``: ``name_taken``,
    ``subnet_overlap``, ``relay_taken``, ``vlan_of_another_rack``, those of ``holders.check_room`` and ``domains``; ``NotFound``:
    ``vlan_not_found``. Each names both things that clash.
    """
    fields: dict[str, Any] = {name: getattr(existing, name) for name in FIELDS} if existing is not None else {}
    fields |= {name: given[name] for name in FIELDS if name in given}
    if not notation.NAME.fullmatch(str(fields.get("name", ""))):
        message = f"{fields.get('name', '')!r} is no name for a subnet."
        raise Invalid("name_invalid", message, "Use up to 63 of a-z, 0-9, dot, dash and underscore.", name=fields.get("name"))
    network = notation.cidr(fields.get("cidr"))
    _check_family(network, existing)
    fields["cidr"] = str(network)
    gateway = _gateway(fields.get("gateway"), network)
    fields["gateway"] = str(gateway) if gateway else None
    for field in ("dns_servers", "ntp_servers", "relays"):
        fields[field] = notation.addresses(field, fields.get(field), network.version)
    fields["search"] = list(dict.fromkeys(filter(None, map(notation.domain, fields.get("search") or ()))))
    wished = _ranges(given["ranges"] or (), network) if "ranges" in given else _kept(existing, network)
    ranges.check([bounds for bounds, _ in wished], gateway, [ip_address(server) for server in fields["dns_servers"]])
    vlan = _vlan(session, given, existing)
    _check_vlan(vlan, fields, network)
    _check_others(session, fields, network, existing)
    domains.check_reverse_of(session, fields["name"], network)
    if existing is not None:
        holders.check_room(session, existing, network, gateway, [bounds for bounds, _ in wished], now)
    fields["domain"] = domains.have(session, fields.get("domain"), now)
    if existing is None or fields["domain"] != existing.domain:
        _check_names(session, fields["domain"])
    return Definition(fields, vlan, dict(wished))


def _check_family(network: Network, existing: Subnet | None) -> None:
    """What a subnet says beside its network is of the network's family, its DHCP options too."""
    if existing is not None and ip_network(existing.cidr).version != network.version:
        message = f"Subnet {existing.name} is {existing.cidr}, and {network} is of the other family."
        raise Invalid("cidr_invalid", message, "Add a subnet of its own.", cidr=str(network), subnet=existing.name)


def _gateway(value: Any, network: Network) -> Address | None:
    if value is None or value == "":
        return None
    gateway = notation.address("gateway", value, network.version)
    if isinstance(gateway, IPv6Address) and gateway.is_link_local:
        return gateway  # as routers announce themselves (RFC 4861 section 4.2)
    if not notation.is_host(gateway, network):
        message = f"The gateway {gateway} is no address for a host in {network}."
        first, last = notation.hosts(network)
        hint = f"Hosts have {first} to {last}."
        raise Invalid("gateway_outside_subnet", message, hint, gateway=str(gateway), cidr=str(network))
    return gateway


def _ranges(given: Sequence[Mapping[str, Any]], network: Network) -> list[tuple[Bounds, str]]:
    return [(ranges.parse(each["kind"], each["start"], each["end"], network), each.get("comment", "")) for each in given]


def _kept(existing: Subnet | None, network: Network) -> list[tuple[Bounds, str]]:
    rows = existing.ranges if existing is not None else ()
    return [(ranges.parse(row.kind, row.start, row.end, network), row.comment) for row in rows]  # type: ignore[arg-type]


def _vlan(session: Session, given: Mapping[str, Any], existing: Subnet | None) -> Vlan | None:
    if "vlan" not in given:
        return existing.vlan if existing is not None else None
    return vlans.get(session, given["vlan"]) if given["vlan"] else None


def _check_vlan(vlan: Vlan | None, fields: Mapping[str, Any], network: Network) -> None:
    if vlan is None:
        return
    rack = fields.get("rack") or "default"
    if vlan.rack != rack:
        message = f"Subnet {fields['name']} is served by rack {rack}, but VLAN {vlan.name} is one of rack {vlan.rack}."
        raise Conflict("vlan_of_another_rack", message, "Name a VLAN of that rack.", vlan=vlan.name, rack=rack)
    vlans.check_mtu(vlan.name, vlan.mtu, fields["name"], network)


def _check_others(session: Session, fields: Mapping[str, Any], network: Network, existing: Subnet | None) -> None:
    for relay in map(ip_address, fields["relays"]):
        if relay in network:
            message = f"The relay {relay} has an address in {network}, so it is known without being named."
            raise Invalid("relay_inside_subnet", message, "Leave it out.", relay=str(relay), cidr=str(network))
    for other in session.scalars(select(Subnet).order_by(Subnet.name)):
        if existing is not None and other.id == existing.id:
            continue
        if other.name == fields["name"]:
            message = f"There is a subnet {other.name} already, {other.cidr}."
            raise Conflict("name_taken", message, "Choose another name.", name=other.name, subnet=other.id)
        theirs = ip_network(other.cidr)
        if network.version == theirs.version and network.overlaps(theirs):
            message = f"{network} overlaps {other.cidr} of subnet {other.name}."
            raise Conflict("subnet_overlap", message, "An address belongs to one subnet.", cidr=str(network), subnet=other.name)
        if both := {*fields["relays"]} & {*other.relays}:
            message = f"The relay {min(both)} speaks for subnet {other.name} already."
            hint = "Give the relay agent an address of its own for each subnet."
            raise Conflict("relay_taken", message, hint, relay=min(both), subnet=other.name)


def _check_names(session: Session, domain: str | None) -> None:
    """Machines may have names in a domain where they had none before: no record bears one of them there."""
    where = Domain.name == domain if domain else Domain.default
    same = or_(Machine.name == Record.name, Machine.hostname == Record.name)
    statement = select(Record, Machine.name).join(Domain).join(Machine, same).where(where, Record.type.in_(naming.TAKING))
    found = session.execute(statement.order_by(Record.name, Record.type).limit(1)).first()
    if found is not None:
        record, holder = found
        message = f"{record.name}.{record.domain.name} {record.type} {record.data} bears the name of machine {holder}."
        hint = "Delete the record, rename the machine, or name another domain."
        raise Conflict("name_taken", message, hint, name=record.name, domain=record.domain.name, machine=holder)


def find(session: Session, name: str, *, lock: bool = False) -> Subnet:
    """The subnet of that name or identifier. Raises ``NotFound`` (``subnet_not_found``)."""
    statement = select(Subnet).where((Subnet.id == name) | (Subnet.name == name))
    subnet = session.scalar(statement.with_for_update(of=Subnet) if lock else statement)
    if subnet is None:
        raise NotFound("subnet_not_found", f"There is no subnet {name}.", "'metalwright subnet list' shows them.", subnet=name)
    return subnet


def holding(session: Session, address: Address, *, lock: bool = False) -> Subnet:
    """The subnet in which an address lies. Raises ``Invalid`` (``address_outside_subnets``)."""
    for subnet in session.scalars(select(Subnet).order_by(Subnet.name)):
        if address in ip_network(subnet.cidr):
            return find(session, subnet.id, lock=lock)
    message = f"{address} lies in no subnet."
    raise Invalid("address_outside_subnets", message, "'metalwright subnet list' shows them.", address=str(address))


def set_ranges(session: Session, subnet: Subnet, wished: Mapping[Bounds, str], now: datetime) -> bool:
    """Give a subnet exactly these ranges; those that it has stay. True if anything changed."""
    there = {ranges.stored(row): row for row in subnet.ranges}
    changed = any(there[bounds].comment != comment for bounds, comment in wished.items() if bounds in there)
    for bounds, comment in wished.items():
        if bounds in there:
            there[bounds].comment = comment
    kept = [row for bounds, row in there.items() if bounds in wished]
    new = [
        IpRange(kind=each.kind, start=str(each.start), end=str(each.end), comment=comment, created_at=now)
        for each, comment in wished.items()
        if each not in there
    ]
    if new or len(kept) != len(there):
        subnet.ranges = kept
        session.flush()  # what goes, goes before what comes: a bound is there once
        subnet.ranges = [*kept, *new]
        changed = True
    return changed
