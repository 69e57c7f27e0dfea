# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asking: machines by MAC and UUID, subnets by source address, and the score by which an agent proves its machine."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Annotated

from pydantic import AfterValidator, Field
from sqlalchemy import bindparam, false, or_, select
from sqlalchemy.orm import Session, defer, joinedload, lazyload

from metalwright.node.bodies import Message, Word
from metalwright.store.models import Interface, Machine, Subnet

_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MEANINGLESS_UUIDS = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",  # what board makers leave in when they do not set one
    }
)
_MEANINGLESS_SERIALS = frozenset(
    {"", "0", "none", "not specified", "system serial number", "to be filled by o.e.m.", "default string"}
)

SAME_MACHINE = 100
"""Score from which an agent is believed to run on the machine: one known MAC, or UUID and serial together."""


def mac_address(text: str) -> str | None:
    """A unicast MAC in lower case with colons, or None when ``text`` is none."""
    text = text.strip().lower()
    if not _MAC.fullmatch(text):
        return None
    mac = text.replace("-", ":")
    return None if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00" else mac


def system_uuid(text: str) -> str | None:
    """A UUID in lower case; None when it is malformed or one that many machines share."""
    text = text.strip().lower()
    return text if _UUID.fullmatch(text) and text not in _MEANINGLESS_UUIDS else None


def system_serial(text: str) -> str | None:
    """A serial number; None when it is one of the words that stand in its place."""
    text = text.strip()
    return None if text.lower() in _MEANINGLESS_SERIALS else text[:128]


def _macs(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(mac for text in texts if (mac := mac_address(text))))


class Identity(Message):
    """What an agent says its machine is."""

    system_uuid: Word | None = None
    serial: Word | None = None
    macs: Annotated[list[Word], Field(max_length=256), AfterValidator(_macs)] = []


@dataclass(frozen=True)
class Found:
    """A known machine, and the interface whose MAC it was known by; None when only its UUID matched."""

    machine: Machine
    interface: Interface | None


_HEAVY = (defer(Machine.hardware), defer(Machine.power_parameters), lazyload(Machine.allocation))
_LIGHT = joinedload(Interface.machine).options(*_HEAVY)
"""What is large or encrypted is read when it is looked at."""
_BY_MAC = select(Interface).options(_LIGHT).where(Interface.mac == bindparam("wanted"))


def find(session: Session, mac: str | None, uuid: str | None) -> Found | None:
    """The machine that has this MAC on any interface; else the one machine with this UUID."""
    interface = session.scalar(_BY_MAC, {"wanted": mac}) if mac else None
    if interface is not None:
        return Found(interface.machine, interface)
    same = session.scalars(select(Machine).options(*_HEAVY).where(Machine.system_uuid == uuid).limit(2)).all() if uuid else []
    return Found(same[0], None) if len(same) == 1 else None


def subnet_of(session: Session, address: str | None) -> Subnet | None:
    """The subnet an address is in; the smallest one when networks nest."""
    try:
        wanted = IPv4Address(address or "")
    except AddressValueError:
        return None
    networks = ((IPv4Network(subnet.cidr), subnet) for subnet in session.scalars(select(Subnet)))
    inside = [(network.prefixlen, subnet) for network, subnet in networks if wanted in network]
    return max(inside, key=lambda pair: pair[0])[1] if inside else None


def score(machine: Machine, identity: Identity) -> int:
    """How surely ``identity`` is that of ``machine``: UUID 50, serial 25 (and 25 more with the UUID), each known MAC 100.

    A new mainboard or a new NIC alone does not make a machine another one; a UUID alone does not make it the same.
    """
    uuid = system_uuid(identity.system_uuid or "")
    serial = system_serial(identity.serial or "")
    same_uuid = uuid is not None and uuid == machine.system_uuid
    same_serial = serial is not None and serial == machine.serial
    known = {interface.mac for interface in machine.interfaces}
    macs = sum(100 for mac in identity.macs if mac in known)
    return 50 * same_uuid + 25 * same_serial + 25 * (same_uuid and same_serial) + macs


def rival(session: Session, machine: Machine | None, identity: Identity, shared_uuids: Collection[str]) -> Machine | None:
    """Another machine known here that ``identity`` is at least as surely as it is ``machine`` (None: none that is known).

    That is one with a MAC of the identity and as many points, or one with its UUID, unless ``machine`` is known by that UUID too,
    their serial numbers tell the two apart, or it is one of ``shared_uuids``. To go on would be to wipe the wrong disks.
    """
    uuid = system_uuid(identity.system_uuid or "")
    serial = system_serial(identity.serial or "")
    points = score(machine, identity) if machine else SAME_MACHINE
    like_it = or_(
        Machine.id.in_(select(Interface.machine_id).where(Interface.mac.in_(identity.macs))),
        Machine.system_uuid == uuid if uuid else false(),
    )
    others = select(Machine).where(like_it, Machine.id != (machine.id if machine else "")).order_by(Machine.name)
    for other in session.scalars(others):
        if any(interface.mac in identity.macs for interface in other.interfaces) and score(other, identity) >= points:
            return other
        same_uuid = uuid is not None and other.system_uuid == uuid and uuid not in {each.lower() for each in shared_uuids}
        known_by_it = machine is not None and machine.system_uuid == uuid
        told_apart = serial is not None and other.serial is not None and serial != other.serial
        if same_uuid and not known_by_it and not told_apart:
            return other
    return None


def described(identity: Identity) -> str:
    """An identity for people: what it says."""
    said = {"UUID": identity.system_uuid, "serial number": identity.serial, "MAC": ", ".join(identity.macs[:4])}
    return ", ".join(f"{name} {value}" for name, value in said.items() if value) or "it says nothing of itself"


def known_as(session: Session, identity: Identity) -> str | None:
    """Name of the machine that an identity is, if it is known here."""
    mac = next((mac for mac in identity.macs if find(session, mac, None)), None)
    known = find(session, mac, system_uuid(identity.system_uuid or ""))
    return known.machine.name if known else None
