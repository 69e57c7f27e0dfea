# SPDX-License-Identifier: GPL-3.0-or-later
"""``/subnets``: the networks machines boot on. Every change is carried to DHCP and DNS by a task."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.network_changes import Comment, Text, carry_out, change
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict
from metalwright.network import holders
from metalwright.network.ranges import Kind, in_order, stored
from metalwright.network.subnets import FIELDS, define, find, set_ranges
from metalwright.store.models import Interface, IpRange, Subnet

subnets = Blueprint("subnets", __name__)


class Range(Schema):
    """A range of a subnet, both bounds inclusive."""

    kind: Kind = Field(
        description="dynamic: DHCP gives them to anyone; static: machines get them, one each, and keep them; reserved: nobody "
        "gets one by itself."
    )
    start: str = Field(max_length=45, description="First address.")
    end: str = Field(max_length=45, description="Last address.")
    comment: Comment = Field("", description="What it is for.")


class _Fields(Schema):
    gateway: str | None = Field(None, max_length=45, description="Default route of the machines.")
    dns_servers: list[str] = Field([], max_length=8, description="Empty: the controller itself, where it runs DNS.")
    ntp_servers: list[str] = Field([], max_length=8, description="Addresses of time servers.")
    search: list[Text] = Field([], max_length=16, description="Domains in which short names are looked for. Empty: its own.")
    domain: str | None = Field(
        None, max_length=253, description="Made if it is not there. Default: [dns] domain of the settings."
    )
    dhcp: bool = Field(True, description="Answer DHCP here.")
    enlist: bool = Field(False, description="Let machines that are not known announce themselves.")
    relays: list[str] = Field([], max_length=32, description="Relay agents that speak for it without an address in it.")
    vlan: str | None = Field(None, max_length=63, description="The VLAN that it is on; null: an untagged network.")
    rack: str = Field("default", max_length=63, description="The rack that serves it.")
    ranges: list[Range] = Field([], max_length=256, description="All its ranges; /ranges changes one at a time.")


class SubnetCreate(_Fields):
    """A new subnet."""

    name: str = Field(max_length=63, description="Up to 63 of a-z, 0-9, dot, dash and underscore.")
    cidr: str = Field(max_length=43, description="For example 10.0.0.0/24 or 2001:db8:0:1::/64.")


class SubnetPatch(_Fields):
    """What is to change; what is not named stays. ``ranges`` are all of them: those that are not named are given up."""

    name: str | None = Field(None, max_length=63)
    cidr: str | None = Field(None, max_length=43)


class RangeOfSubnet(TypedDict):
    """A range, with both bounds."""

    kind: str
    start: str
    end: str
    comment: str


class SubnetView(TypedDict):
    """A subnet; its ranges by their first address."""

    id: str
    name: str
    cidr: str
    gateway: str | None
    dns_servers: list[str]
    ntp_servers: list[str]
    search: list[str]
    domain: str | None
    dhcp: bool
    enlist: bool
    relays: list[str]
    vlan: str | None
    rack: str
    ranges: list[RangeOfSubnet]
    created_at: str


class SubnetChanged(SubnetView):
    """A subnet after a change; ``changed`` is false when it was like that already."""

    changed: bool


@endpoint(subnets, "GET", "/subnets", query=Page, answers={200: Listing[SubnetView]})
def list_subnets(*, query: Page) -> Reply:
    """List subnets by name."""
    fields = query.chosen(SubnetView.__annotations__)
    statement = select(Subnet).order_by(Subnet.name).limit(query.limit + 1)
    if (last := query.after(1)) is not None:
        statement = statement.where(Subnet.name > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
    items = [{name: value for name, value in show(subnet).items() if name in fields} for subnet in found[: query.limit]]
    return page(found, query.limit, items, lambda subnet: (subnet.name,))


@endpoint(subnets, "GET", "/subnets/<name>", answers={200: SubnetView}, errors=(404,))
def get_subnet(name: str) -> Reply:
    """Show a subnet."""
    with context().store.session() as session:
        return show(find(session, name))


@endpoint(subnets, "POST", "/subnets", body=SubnetCreate, query=Change, answers={201: SubnetView}, errors=(404, 409))
def create_subnet(*, body: SubnetCreate, query: Change) -> Reply:
    """Add a subnet."""
    now = context().clock()
    with change(query) as session:
        wished = define(session, body.model_dump(), now)
        subnet = Subnet(**wished.columns, vlan=wished.vlan, created_at=now)
        session.add(subnet)
        set_ranges(session, subnet, wished.ranges, now)
        session.flush()
        _told(session, "subnet.created", f"subnet {subnet.name} ({subnet.cidr}) was added by {caller()}", subnet)
        return show(subnet)


@endpoint(subnets, "PATCH", "/subnets/<name>", body=SubnetPatch, query=Change, answers={200: SubnetChanged}, errors=(404, 409))
def change_subnet(name: str, *, body: SubnetPatch, query: Change) -> Reply:
    """Change a subnet; what is not named stays, and so do the addresses that its machines have."""
    now = context().clock()
    with change(query) as session:
        subnet = find(session, name, lock=True)
        wished = define(session, body.model_dump(include=body.model_fields_set), now, existing=subnet)
        changed = [field for field in FIELDS if getattr(subnet, field) != wished.columns[field]]
        for field in changed:
            setattr(subnet, field, wished.columns[field])
        if subnet.vlan is not wished.vlan:
            subnet.vlan = wished.vlan
            changed.append("vlan")
        if set_ranges(session, subnet, wished.ranges, now):
            changed.append("ranges")
        if changed:
            _told(session, "subnet.changed", f"subnet {subnet.name}: {', '.join(changed)} changed by {caller()}", subnet)
        session.flush()
        return {**show(subnet), "changed": bool(changed)}


@endpoint(subnets, "DELETE", "/subnets/<name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_subnet(name: str, *, query: Change) -> Reply:
    """Delete a subnet, its ranges and its options. No machine may have an address there, and none may be reserved."""
    with change(query) as session:
        subnet = find(session, name, lock=True)
        names = list(dict.fromkeys(holder.name for holder in holders.machines(session, subnet)))
        if names:
            message = f"{len(names)} machines have an address on subnet {subnet.name}: {', '.join(names[:5])}."
            raise Conflict("subnet_in_use", message, "Delete those machines, or keep the subnet.", machines=names)
        if kept := holders.reservations(session, subnet):
            macs = [holder.mac for holder in kept]
            message = f"{len(macs)} addresses of subnet {subnet.name} are reserved: for {', '.join(macs[:5])}."
            raise Conflict("subnet_in_use", message, "Delete those reservations, or keep the subnet.", reservations=macs)
        for interface in session.scalars(select(Interface).where(Interface.subnet_id == subnet.id)):
            interface.subnet = None
        _told(session, "subnet.deleted", f"subnet {subnet.name} ({subnet.cidr}) was deleted by {caller()}", subnet)
        session.flush()
        session.delete(subnet)
    return None


def _told(session: Session, kind: str, message: str, subnet: Subnet) -> None:
    carry_out(session, kind, message, {"subnet": subnet.name})


def show(subnet: Subnet) -> dict[str, Any]:
    """A subnet for the API."""
    fields = {name: getattr(subnet, name) for name in FIELDS}
    rows = {stored(row): row for row in subnet.ranges}
    shown = [show_range(rows[bounds]) for bounds in in_order(rows)]
    vlan = subnet.vlan.name if subnet.vlan else None
    return {"id": subnet.id, **fields, "vlan": vlan, "ranges": shown, "created_at": subnet.created_at.isoformat()}


def show_range(row: IpRange) -> dict[str, Any]:
    """A range for the API."""
    return {name: getattr(row, name) for name in ("kind", "start", "end", "comment")}
