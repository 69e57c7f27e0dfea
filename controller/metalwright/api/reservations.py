# SPDX-License-Identifier: GPL-3.0-or-later
"""``/reservations``: addresses that are kept for a network card. One is known by its identifier or its address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.machine_schema import Mac
from metalwright.api.network_changes import Comment, carry_out, change
from metalwright.api.shapes import Listing
from metalwright.errors import NotFound
from metalwright.network.reservations import FIELDS, validate
from metalwright.store.models import Reservation, Subnet

reservations = Blueprint("reservations", __name__)


class ReservationCreate(Schema):
    """A new reservation. Its address says on which subnet it is."""

    mac: Mac = Field(description="The card that gets the address.")
    address: str = Field(max_length=45, description="An IPv4 or IPv6 address of a subnet.")
    name: str | None = Field(None, max_length=63, description="Its name, one label of RFC 1123; null: it has none.")
    domain: str | None = Field(None, max_length=253, description="The domain of its name. Default: that of the subnet.")
    comment: Comment = ""


class ReservationPatch(Schema):
    """What is to change; what is not named stays."""

    mac: Mac = ""
    address: str = Field("", max_length=45)
    name: str | None = Field(None, max_length=63)
    domain: str | None = Field(None, max_length=253)
    comment: Comment = ""


class ReservationList(Page):
    """Which reservations."""

    subnet: list[str] = Field([], description="Names of subnets.")
    mac: list[Mac] = Field([], description="MAC addresses.")


class ReservationView(TypedDict):
    """A reservation."""

    id: str
    subnet: str
    mac: str
    address: str
    name: str | None
    domain: str | None
    comment: str
    created_at: str


class ReservationChanged(ReservationView):
    """A reservation after a change; ``changed`` is false when it was like that already."""

    changed: bool


@endpoint(reservations, "GET", "/reservations", query=ReservationList, answers={200: Listing[ReservationView]})
def list_reservations(*, query: ReservationList) -> Reply:
    """List reservations, by their address as text."""
    fields = query.chosen(ReservationView.__annotations__)
    statement = select(Reservation).order_by(Reservation.address).limit(query.limit + 1)
    if query.subnet:
        statement = statement.where(Reservation.subnet_id.in_(select(Subnet.id).where(Subnet.name.in_(query.subnet))))
    if query.mac:
        statement = statement.where(Reservation.mac.in_(query.mac))
    if (last := query.after(1)) is not None:
        statement = statement.where(Reservation.address > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
        shown = [_show(each) for each in found[: query.limit]]
    return page(found, query.limit, [{name: view[name] for name in fields} for view in shown], lambda each: (each.address,))


@endpoint(reservations, "GET", "/reservations/<name>", answers={200: ReservationView}, errors=(404,))
def get_reservation(name: str) -> Reply:
    """Show a reservation."""
    with context().store.session() as session:
        return _show(_find(session, name))


@endpoint(
    reservations, "POST", "/reservations", body=ReservationCreate, query=Change, answers={201: ReservationView}, errors=(409,)
)
def create_reservation(*, body: ReservationCreate, query: Change) -> Reply:
    """Keep an address for a card. A machine that has the card gets it when it asks for any."""
    with change(query) as session:
        reservation = Reservation(**_validated(session, body.model_dump()), created_at=context().clock())
        session.add(reservation)
        session.flush()
        message = f"{reservation.address} was reserved for {reservation.mac} by {caller()}"
        _told(session, "reservation.created", message, reservation)
        return _show(reservation)


@endpoint(
    reservations,
    "PATCH",
    "/reservations/<name>",
    body=ReservationPatch,
    query=Change,
    answers={200: ReservationChanged},
    errors=(404, 409),
)
def change_reservation(name: str, *, body: ReservationPatch, query: Change) -> Reply:
    """Change a reservation; what is not named stays."""
    with change(query) as session:
        reservation = _find(session, name)
        wished = _validated(session, body.model_dump(include=body.model_fields_set), reservation)
        changed = [field for field in FIELDS if getattr(reservation, field) != wished[field]]
        for field in changed:
            setattr(reservation, field, wished[field])
        reservation.subnet_id = wished["subnet_id"]
        session.flush()
        if changed:
            message = f"the reservation of {reservation.address}: {', '.join(changed)} changed by {caller()}"
            _told(session, "reservation.changed", message, reservation)
        session.refresh(reservation)
        return {**_show(reservation), "changed": bool(changed)}


@endpoint(reservations, "DELETE", "/reservations/<name>", query=Change, answers={204: None}, errors=(404,))
def delete_reservation(name: str, *, query: Change) -> Reply:
    """Delete a reservation. A machine that has the address keeps it."""
    with change(query) as session:
        reservation = _find(session, name)
        message = f"the reservation of {reservation.address} for {reservation.mac} was deleted by {caller()}"
        _told(session, "reservation.deleted", message, reservation)
        session.delete(reservation)
    return None


def _validated(session: Session, given: dict[str, Any], existing: Reservation | None = None) -> dict[str, Any]:
    here = context()
    ours = urlsplit(here.settings.node.url).hostname
    return validate(session, given, here.clock(), default=here.settings.dns.domain, ours=ours, existing=existing)


def _told(session: Session, kind: str, message: str, reservation: Reservation) -> None:
    carry_out(session, kind, message, {"address": reservation.address, "mac": reservation.mac})


def _show(reservation: Reservation) -> dict[str, Any]:
    fields = {name: getattr(reservation, name) for name in FIELDS}
    created = reservation.created_at.isoformat()
    return {"id": reservation.id, "subnet": reservation.subnet.name, **fields, "created_at": created}


def _find(session: Session, name: str) -> Reservation:
    reservation = session.scalar(select(Reservation).where((Reservation.id == name) | (Reservation.address == name.lower())))
    if reservation is None:
        hint = "'metalwright reservation list' shows them."
        raise NotFound("reservation_not_found", f"There is no reservation of {name}.", hint, reservation=name)
    return reservation
