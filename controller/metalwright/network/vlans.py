# SPDX-License-Identifier: GPL-3.0-or-later
"""VLANs: numbers that one rack has once, and frames that their subnets can live with."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.network import notation
from metalwright.network.notation import Network
from metalwright.store.models import Subnet, Vlan

FIELDS = ("name", "vid", "mtu", "description", "rack")
LEAST_MTU = {4: 576, 6: 1280}
"""Bytes that every host takes (RFC 791 section 3.1), and that every link of IPv6 carries (RFC 8200 section 5)."""


def validate(session: Session, given: Mapping[str, Any], existing: Vlan | None = None) -> dict[str, Any]:
    """The columns that a VLAN comes to; nothing is written. ``given`` holds fields of a new one, or those that change.

    Raises ``Invalid``: ``name_invalid``, ``mtu_too_small``; ``Conflict``: ``name_taken``, ``vid_taken``,
    ``vlan_of_another_rack``.
    """
    fields: dict[str, Any] = {field: getattr(existing, field) for field in FIELDS} if existing is not None else {}
    fields |= {field: given[field] for field in FIELDS if field in given}
    if not notation.NAME.fullmatch(fields["name"]):
        message = f"{fields['name']!r} is no name for a VLAN."
        raise Invalid("name_invalid", message, "Use up to 63 of a-z, 0-9, dot, dash and underscore.", name=fields["name"])
    for other in session.scalars(select(Vlan).order_by(Vlan.name)):
        if other is existing:
            continue
        if other.name == fields["name"]:
            message = f"There is a VLAN {other.name} already, number {other.vid}."
            raise Conflict("name_taken", message, "Choose another name.", name=other.name)
        if (other.rack, other.vid) == (fields["rack"], fields["vid"]):
            message = f"{fields['vid']} is the number of VLAN {other.name} in rack {other.rack}."
            raise Conflict("vid_taken", message, "A rack has a number once.", vid=other.vid, vlan=other.name)
    for subnet in subnets(session, existing) if existing is not None else ():
        if subnet.rack != fields["rack"]:
            message = f"Subnet {subnet.name} of VLAN {existing.name} is served by rack {subnet.rack}."  # type: ignore[union-attr]
            raise Conflict("vlan_of_another_rack", message, "Move the subnet first.", subnet=subnet.name, rack=fields["rack"])
        check_mtu(fields["name"], fields["mtu"], subnet.name, ip_network(subnet.cidr))
    return fields


def check_mtu(vlan: str, mtu: int | None, subnet: str, network: Network) -> None:
    """Raise ``Invalid`` (``mtu_too_small``) if the VLAN cannot carry what the subnet's hosts must be able to send."""
    least = LEAST_MTU[network.version]
    if mtu is not None and mtu < least:
        message = f"VLAN {vlan} carries {mtu} bytes, but IPv{network.version}, as on subnet {subnet}, needs {least}."
        raise Invalid("mtu_too_small", message, f"Use an mtu of at least {least}.", vlan=vlan, mtu=mtu, subnet=subnet)


def subnets(session: Session, vlan: Vlan) -> list[Subnet]:
    """The subnets on a VLAN, by name."""
    return list(session.scalars(select(Subnet).where(Subnet.vlan_id == vlan.id).order_by(Subnet.name)))


def get(session: Session, name: str) -> Vlan:
    """The VLAN of that name or identifier. Raises ``NotFound`` (``vlan_not_found``)."""
    vlan = session.scalar(select(Vlan).where((Vlan.id == name) | (Vlan.name == name)))
    if vlan is None:
        hint = f"Add it: metalwright vlan add {name} NUMBER"
        raise NotFound("vlan_not_found", f"There is no VLAN {name}.", hint, vlan=name)
    return vlan
