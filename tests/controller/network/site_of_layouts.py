# SPDX-License-Identifier: GPL-3.0-or-later
"""A site of three subnets, two of them on VLANs, and a machine with three network cards."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from metalwright.network.interfaces import MachineNetwork
from metalwright.store.models import Interface, IpRange, Machine, Subnet, Vlan

GIB = 1 << 30
HARDWARE = {"schema": 1, "disks": [{"name": "vda", "size_bytes": 8 * GIB, "rotational": False, "removable": False}]}
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03")


def subnet(name: str, cidr: str, *ranges: tuple[str, str, str], **more: Any) -> Subnet:
    return Subnet(name=name, cidr=cidr, ranges=[IpRange(kind=kind, start=start, end=end) for kind, start, end in ranges], **more)


def add_site(session: Session) -> None:
    storage, office = Vlan(name="storage", vid=42, mtu=9000), Vlan(name="office", vid=7)
    static, dynamic = ("static", "10.0.0.10", "10.0.0.12"), ("dynamic", "10.0.0.100", "10.0.0.199")
    session.add_all(
        [
            subnet("boot", "10.0.0.0/24", static, dynamic, gateway="10.0.0.254", dns_servers=["10.0.0.53"], domain="lab.example"),
            subnet("storage", "10.42.0.0/24", ("static", "10.42.0.10", "10.42.0.19"), vlan=storage, dhcp=False),
            subnet("office", "10.7.0.0/24", ("static", "10.7.0.10", "10.7.0.19"), vlan=office, gateway="10.7.0.1"),
            subnet("six", "2001:db8:1::/64", ("static", "2001:db8:1::10", "2001:db8:1::1f"), gateway="2001:db8:1::1"),
        ]
    )


def add_machine(session: Session, name: str = "node-1", number: int = 0, **more: Any) -> Machine:
    session.flush()
    boots = session.query(Subnet).filter_by(name="boot").one()
    machine = Machine(name=name, state="ready", hardware=HARDWARE, **more)
    macs = [f"{mac[:-4]}{number}{mac[-3:]}" for mac in MACS]
    machine.interfaces = [
        Interface(mac=mac, name=f"eth{place}", position=place, boot=place == 0, subnet=boots if place == 0 else None)
        for place, mac in enumerate(macs)
    ]
    session.add(machine)
    session.flush()
    return machine


def network(*interfaces: dict[str, Any]) -> MachineNetwork:
    return MachineNetwork.model_validate({"interfaces": list(interfaces)})


def bond(*members: str, **more: Any) -> dict[str, Any]:
    return {"name": "bond0", "type": "bond", "members": list(members or ("eth0", "eth1")), **more}


def vlan(**more: Any) -> dict[str, Any]:
    return {"name": "bond0.42", "type": "vlan", "parent": "bond0", "vid": 42, **more}


def bridge(*members: str, **more: Any) -> dict[str, Any]:
    return {"name": "br0", "type": "bridge", "members": list(members or ("bond0",)), **more}


def auto(subnet: str) -> dict[str, Any]:
    return {"links": [{"mode": "auto", "subnet": subnet}]}


def static(address: str, **more: Any) -> dict[str, Any]:
    return {"links": [{"mode": "static", "address": address}], **more}
