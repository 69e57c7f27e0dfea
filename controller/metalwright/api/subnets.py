# SPDX-License-Identifier: GPL-3.0-or-later
"""``/subnets``: the networks machines boot on. Every change is carried to DHCP and DNS by a task."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict, NotFound
from metalwright.lifecycle.tasks import enqueue
from metalwright.network.subnets import FIELDS, validate
from metalwright.store.events import record
from metalwright.store.models import Interface, Machine, Subnet

subnets = Blueprint("subnets", __name__)


class _Fields(Schema):
    gateway: str | None = Field(None, max_length=45, description="Default route of the machines.")
    dns_servers: list[str] = Field([], max_length=8, description="Empty: the controller itself, where it runs DNS.")
    domain: str | None = Field(None, max_length=253, description="Default: [dns] domain of the settings.")
    dhcp: bool = Field(True, description="Answer DHCP here.")
    enlist: bool = Field(False, description="Let machines that are not known announce themselves.")
    dynamic_start: str | None = Field(None, max_length=45, description="First address that DHCP gives to anyone.")
    dynamic_end: str | None = Field(None, max_length=45, description="Last address that DHCP gives to anyone.")
    static_start: str | None = Field(None, max_length=45, description="First address that is given to one machine and kept.")
    static_end: str | None = Field(None, max_length=45, description="Last address that is given to one machine and kept.")
    rack: str = Field("default", max_length=63, description="The rack that serves it.")


class SubnetCreate(_Fields):
    """A new subnet. Ranges are inclusive; both bounds or none."""

    name: str = Field(max_length=63, description="Up to 63 of a-z, 0-9, dot, dash and underscore.")
    cidr: str = Field(max_length=43, description="For example 10.0.0.0/24.")


class SubnetPatch(_Fields):
    """What is to change; what is not named stays."""

    name: str | None = Field(None, max_length=63)
    cidr: str | None = Field(None, max_length=43)


class SubnetView(TypedDict):
    """A subnet."""

    id: str
    name: str
    cidr: str
    gateway: str | None
    dns_servers: list[str]
    domain: str | None
    dhcp: bool
    enlist: bool
    dynamic_start: str | None
    dynamic_end: str | None
    static_start: str | None
    static_end: str | None
    rack: str
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
        return show(_find(session, name))


@endpoint(subnets, "POST", "/subnets", body=SubnetCreate, query=Change, answers={201: SubnetView}, errors=(409,))
def create_subnet(*, body: SubnetCreate, query: Change) -> Reply:
    """Add a subnet."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        subnet = Subnet(**validate(session, body.model_dump()), created_at=here.clock())
        session.add(subnet)
        session.flush()
        _carry_out(session, "subnet.created", f"subnet {subnet.name} ({subnet.cidr}) was added by {caller()}", subnet)
        return show(subnet)


@endpoint(subnets, "PATCH", "/subnets/<name>", body=SubnetPatch, query=Change, answers={200: SubnetChanged}, errors=(404, 409))
def change_subnet(name: str, *, body: SubnetPatch, query: Change) -> Reply:
    """Change a subnet; what is not named stays. The addresses machines have must stay possible."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        subnet = _find(session, name, lock=True)
        wished = validate(session, {field: getattr(body, field) for field in body.model_fields_set}, existing=subnet)
        changed = [field for field in FIELDS if getattr(subnet, field) != wished[field]]
        for field in changed:
            setattr(subnet, field, wished[field])
        if changed:
            _carry_out(session, "subnet.changed", f"subnet {subnet.name}: {', '.join(changed)} changed by {caller()}", subnet)
        return {**show(subnet), "changed": bool(changed)}


@endpoint(subnets, "DELETE", "/subnets/<name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_subnet(name: str, *, query: Change) -> Reply:
    """Delete a subnet on which no machine has an address."""
    with context().change(dry_run=query.dry_run) as session:
        subnet = _find(session, name, lock=True)
        used = select(Machine.name).join(Interface).where(Interface.subnet_id == subnet.id, Interface.address.is_not(None))
        holders = session.scalars(used.distinct().order_by(Machine.name)).all()
        if holders:
            message = f"{len(holders)} machines have an address on subnet {subnet.name}: {', '.join(holders[:5])}."
            raise Conflict("subnet_in_use", message, "Delete those machines, or keep the subnet.", machines=list(holders))
        for interface in session.scalars(select(Interface).where(Interface.subnet_id == subnet.id)):
            interface.subnet = None
        _carry_out(session, "subnet.deleted", f"subnet {subnet.name} ({subnet.cidr}) was deleted by {caller()}", subnet)
        session.flush()
        session.delete(subnet)
    return None


def _carry_out(session: Session, kind: str, message: str, subnet: Subnet) -> None:
    now = context().clock()
    record(session, kind, message, data={"subnet": subnet.name}, at=now)
    enqueue(session, "network.apply", {}, now=now)


def show(subnet: Subnet) -> dict[str, Any]:
    """A subnet for the API."""
    fields = {name: getattr(subnet, name) for name in FIELDS}
    return {"id": subnet.id, **fields, "created_at": subnet.created_at.isoformat()}


def _find(session: Session, name: str, *, lock: bool = False) -> Subnet:
    statement = select(Subnet).where(or_(Subnet.id == name, Subnet.name == name))
    subnet = session.scalar(statement.with_for_update() if lock else statement)
    if subnet is None:
        raise NotFound("subnet_not_found", f"There is no subnet {name}.", subnet=name)
    return subnet
