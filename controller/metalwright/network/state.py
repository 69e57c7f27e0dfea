# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from the database what the network is to look like."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Text, cast, func, literal, select, true, union
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.network import model, ranges, record_data, resolving
from metalwright.store.models import DhcpOption, Domain, Interface, InterfaceAddress, Machine, Record, Reservation, Subnet

_Options = Mapping[str, Sequence[model.Option]]
_name, _machine = itemgetter(1), itemgetter(slice(4))


def read(session: Session, settings: Settings) -> model.NetworkState:
    """All subnets, every address that belongs to somebody, all domains."""
    options = _options(session)
    return _state(session, settings, options, [*_machines(session, options), *_reservations(session, options)])


def hosts_of(session: Session, machine_id: str) -> list[model.Host]:
    """Of what ``read`` answers, the addresses of one machine."""
    return _machines(session, _options(session), only=machine_id)


def without_hosts(session: Session, settings: Settings) -> model.NetworkState:
    """All but the addresses: what an engine can do depends on none of them."""
    return _state(session, settings, _options(session), [])


def _state(session: Session, settings: Settings, options: _Options, hosts: Sequence[model.Host]) -> model.NetworkState:
    subnets = session.scalars(select(Subnet).order_by(Subnet.name)).all()
    return model.NetworkState(
        tuple(_network(subnet, options) for subnet in subnets),
        tuple(hosts),
        tuple(_domains(session, settings.dns.domain)),
        settings.dns.domain,
        resolving.read(session, settings),
    )


def _options(session: Session) -> _Options:
    """DHCP options by what they belong to."""
    found = defaultdict(list)
    for row in session.scalars(select(DhcpOption).order_by(DhcpOption.family, DhcpOption.code)):
        owner = row.subnet_id or row.machine_id or row.reservation_id or ""
        found[owner].append(model.Option(6 if row.family == 6 else 4, row.code, row.value))
    return found


def _machines(session: Session, options: _Options, only: str | None = None) -> list[model.Host]:
    """Every address that a machine has: those of its cards, which DHCP gives, and those of its declared network.

    A machine's name leads to the addresses that ``named`` says, else to its boot interface's, or to the first one it has. It is
    ``hostname`` while the machine is deployed, else ``name``. Where one machine is deployed under the name of another, the
    deployed one has it.
    """
    which: ColumnElement[bool] = true()
    hostnames: ColumnElement[bool] = Machine.hostname.is_not(None)
    if only is not None:
        which, hostnames = Machine.id == only, Machine.hostname.in_(select(Machine.name).where(Machine.id == only))
    taken = set(session.scalars(select(Machine.hostname).where(hostnames)))
    of_machine = (Machine.id, Machine.name, Machine.hostname, cast(Machine.named, Text))
    cards = session.execute(  # columns, not objects: there may be ten thousand, and this is read at every change
        select(*of_machine, Interface.mac, Interface.address, Subnet.id, Subnet.domain)
        .join(Interface, Interface.machine_id == Machine.id)
        .outerjoin(Subnet, Subnet.id == Interface.subnet_id)
        .where(Interface.address.is_not(None), which)
        .order_by(Machine.name, Interface.boot.desc(), Interface.position, Interface.mac)
    )
    declared = session.execute(
        select(*of_machine, literal(None), InterfaceAddress.address, Subnet.id, Subnet.domain)
        .join(InterfaceAddress, InterfaceAddress.machine_id == Machine.id)
        .join(Subnet, Subnet.id == InterfaceAddress.subnet_id)
        .where(which)
        .order_by(InterfaceAddress.address)
    )
    hosts = []
    for (machine, machine_name, hostname, named_as), rows in groupby(sorted([*cards, *declared], key=_name), key=_machine):
        own = hostname or (machine_name if machine_name not in taken else None)
        had = [row[4:] for row in rows]
        named = (json.loads(named_as) if named_as else None) or [address for mac, address, *_ in had if mac is not None][:1]
        for mac, address, subnet, domain in had:
            name = own if address in named else None
            if mac is not None or name is not None:
                told = tuple(options.get(machine, ())) if mac is not None else ()
                hosts.append(model.Host(machine, mac, address, subnet, name, domain, told))
    return hosts


def _reservations(session: Session, options: _Options) -> list[model.Host]:
    """Addresses that are kept for a card, but for those that a machine has: that one is the host then."""
    cards = select(Interface.address).where(Interface.address.is_not(None))
    had: CompoundSelect[Any] = union(cards, select(InterfaceAddress.address))
    rows = session.execute(
        select(
            *(Reservation.id, Reservation.mac, Reservation.address, Reservation.subnet_id, Reservation.name),
            func.coalesce(Reservation.domain, Subnet.domain),
        )
        .join(Subnet, Subnet.id == Reservation.subnet_id)
        .where(Reservation.address.not_in(had))
        .order_by(Reservation.address)
    )
    return [
        model.Host(reservation, mac, address, subnet, name, domain, tuple(options.get(reservation, ())))
        for reservation, mac, address, subnet, name, domain in rows
    ]


def _domains(session: Session, default: str) -> list[model.Domain]:
    records: dict[str, list[model.Record]] = defaultdict(list)
    for row in session.scalars(select(Record).order_by(Record.name, Record.type, Record.data)):
        data = record_data.quoted(row.data) if row.type == "TXT" else row.data
        records[row.domain_id].append(model.Record(row.name, row.type, data, row.ttl))  # type: ignore[arg-type]
    found = {
        row.name: model.Domain(row.name, tuple(row.forward_to), row.ttl, tuple(records[row.id]))
        for row in session.scalars(select(Domain))
    }
    found.setdefault(default, model.Domain(default))
    return [found[name] for name in sorted(found)]


def _network(subnet: Subnet, options: _Options) -> model.Network:
    return model.Network(
        id=subnet.id,
        name=subnet.name,
        cidr=subnet.cidr,
        gateway=subnet.gateway,
        dns_servers=tuple(subnet.dns_servers),
        ntp_servers=tuple(subnet.ntp_servers),
        search=tuple(subnet.search),
        domain=subnet.domain,
        dhcp=subnet.dhcp,
        dynamic=tuple((str(each.start), str(each.end)) for each in ranges.of(subnet, "dynamic")),
        relays=tuple(subnet.relays),
        mtu=subnet.vlan.mtu if subnet.vlan else None,
        options=tuple(options.get(subnet.id, ())),
    )
