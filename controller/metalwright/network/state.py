# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from the database what the network is to look like."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.network.model import Host, Network, NetworkState
from metalwright.store.models import Interface, Machine, Subnet


def read(session: Session) -> NetworkState:
    """All subnets, and every interface that has an address.

    A machine's name belongs to its boot interface, or to its first one with an address: it is ``hostname`` while the machine is
    deployed, else ``name``. Where one machine is deployed under the name of another, the deployed one has it.
    """
    subnets = session.scalars(select(Subnet).order_by(Subnet.name)).all()
    rows = session.execute(
        select(Machine.id, Machine.name, Machine.hostname, Interface.mac, Interface.address, Subnet.domain)
        .join(Interface, Interface.machine_id == Machine.id)
        .outerjoin(Subnet, Subnet.id == Interface.subnet_id)
        .order_by(Machine.name, Interface.boot.desc(), Interface.position, Interface.mac)
    ).all()
    taken = {hostname for _, _, hostname, *_ in rows if hostname}
    named: set[str] = set()
    hosts = []
    for machine, name, hostname, mac, address, domain in rows:
        if address is None:
            continue
        own = hostname or (name if name not in taken else None)
        hosts.append(Host(machine, mac, address, own if machine not in named else None, domain))
        named.add(machine)
    return NetworkState(tuple(_network(subnet) for subnet in subnets), tuple(hosts))


def _network(subnet: Subnet) -> Network:
    dynamic = (subnet.dynamic_start, subnet.dynamic_end) if subnet.dynamic_start and subnet.dynamic_end else None
    return Network(
        id=subnet.id,
        name=subnet.name,
        cidr=subnet.cidr,
        gateway=subnet.gateway,
        dns_servers=tuple(subnet.dns_servers),
        domain=subnet.domain,
        dhcp=subnet.dhcp,
        dynamic=dynamic,
    )
