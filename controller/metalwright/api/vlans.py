# SPDX-License-Identifier: GPL-3.0-or-later
"""``/vlans``: tagged networks of layer 2."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint
from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.network_changes import Comment, carry_out, change
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict
from metalwright.network.vlans import FIELDS, get, subnets, validate
from metalwright.store.models import Vlan

vlans = Blueprint("vlans", __name__)


def _vid(value: int) -> int:
    if not 1 <= value <= 4094:
        raise ValueError("must be 1 to 4094: 0 and 4095 are no networks (IEEE 802.1Q)")
    return value


Vid = Annotated[int, AfterValidator(_vid)]
Mtu = Annotated[int, Field(ge=576, le=9216)]


class VlanCreate(Schema):
    """A new VLAN."""

    name: str = Field(max_length=63, description="Up to 63 of a-z, 0-9, dot, dash and underscore.")
    vid: Vid = Field(description="Its number in the tag, 1 to 4094.")
    mtu: Mtu | None = Field(None, description="Bytes of the largest packet; null: nothing is said of it.")
    description: Comment = ""
    rack: str = Field("default", max_length=63, description="The rack that has it.")


class VlanPatch(Schema):
    """What is to change; what is not named stays."""

    name: str = Field("", max_length=63)
    vid: Vid = 1
    mtu: Mtu | None = None
    description: Comment = ""
    rack: str = Field("default", max_length=63)


class VlanView(TypedDict):
    """A VLAN; ``subnets`` are the names of those on it."""

    id: str
    name: str
    vid: int
    mtu: int | None
    description: str
    rack: str
    subnets: list[str]
    created_at: str


class VlanChanged(VlanView):
    """A VLAN after a change; ``changed`` is false when it was like that already."""

    changed: bool


@endpoint(vlans, "GET", "/vlans", query=Page, answers={200: Listing[VlanView]})
def list_vlans(*, query: Page) -> Reply:
    """List VLANs by name."""
    fields = query.chosen(VlanView.__annotations__)
    statement = select(Vlan).order_by(Vlan.name).limit(query.limit + 1)
    if (last := query.after(1)) is not None:
        statement = statement.where(Vlan.name > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
        shown = [_show(session, vlan) for vlan in found[: query.limit]]
    items = [{name: view[name] for name in fields} for view in shown]
    return page(found, query.limit, items, lambda vlan: (vlan.name,))


@endpoint(vlans, "GET", "/vlans/<name>", answers={200: VlanView}, errors=(404,))
def get_vlan(name: str) -> Reply:
    """Show a VLAN."""
    with context().store.session() as session:
        return _show(session, get(session, name))


@endpoint(vlans, "POST", "/vlans", body=VlanCreate, query=Change, answers={201: VlanView}, errors=(409,))
def create_vlan(*, body: VlanCreate, query: Change) -> Reply:
    """Add a VLAN."""
    with change(query) as session:
        vlan = Vlan(**validate(session, body.model_dump()), created_at=context().clock())
        session.add(vlan)
        session.flush()
        carry_out(session, "vlan.created", f"VLAN {vlan.name} ({vlan.vid}) was added by {caller()}", {"vlan": vlan.name})
        return _show(session, vlan)


@endpoint(vlans, "PATCH", "/vlans/<name>", body=VlanPatch, query=Change, answers={200: VlanChanged}, errors=(404, 409))
def change_vlan(name: str, *, body: VlanPatch, query: Change) -> Reply:
    """Change a VLAN; what is not named stays."""
    with change(query) as session:
        vlan = get(session, name)
        wished = validate(session, body.model_dump(include=body.model_fields_set), existing=vlan)
        changed = [field for field in FIELDS if getattr(vlan, field) != wished[field]]
        for field in changed:
            setattr(vlan, field, wished[field])
        if changed:
            carry_out(
                session, "vlan.changed", f"VLAN {vlan.name}: {', '.join(changed)} changed by {caller()}", {"vlan": vlan.name}
            )
        return {**_show(session, vlan), "changed": bool(changed)}


@endpoint(vlans, "DELETE", "/vlans/<name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_vlan(name: str, *, query: Change) -> Reply:
    """Delete a VLAN that no subnet is on."""
    with change(query) as session:
        vlan = get(session, name)
        if used := [subnet.name for subnet in subnets(session, vlan)]:
            message = f"VLAN {vlan.name} has the subnets {', '.join(used[:5])}."
            raise Conflict("vlan_in_use", message, "Move or delete them first.", vlan=vlan.name, subnets=used)
        carry_out(session, "vlan.deleted", f"VLAN {vlan.name} ({vlan.vid}) was deleted by {caller()}", {"vlan": vlan.name})
        session.delete(vlan)
    return None


def _show(session: Session, vlan: Vlan) -> dict[str, Any]:
    fields = {name: getattr(vlan, name) for name in FIELDS}
    names = [subnet.name for subnet in subnets(session, vlan)]
    return {"id": vlan.id, **fields, "subnets": names, "created_at": vlan.created_at.isoformat()}
