# SPDX-License-Identifier: GPL-3.0-or-later
"""``/dhcp-options``: what DHCP tells the clients of a subnet, one machine or one reservation beside what follows by itself."""

from __future__ import annotations

from typing import Any, Literal

from flask import Blueprint
from pydantic import Field, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.machines import find as find_machine
from metalwright.api.network_changes import carry_out
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.network import options, subnets
from metalwright.network.options import Family
from metalwright.store.models import DhcpOption, Machine, Reservation, Subnet

dhcp_options = Blueprint("dhcp-options", __name__)

Value = bool | int | str | list[int | str]


class OptionCreate(Schema):
    """A new option, of exactly one subnet, machine or reservation."""

    subnet: str | None = Field(None, max_length=63, description="Name of the subnet whose clients get it.")
    machine: str | None = Field(None, max_length=63, description="Name of the machine that gets it.")
    reservation: str | None = Field(None, max_length=45, description="Address of the reservation whose card gets it.")
    family: Literal[4, 6] | None = Field(
        None, description="4: DHCPv4, 6: DHCPv6. Default: that of the subnet or reservation; of a machine, 4."
    )
    option: int | str = Field(description="Its number, or its name, as in docs/reference/dhcp-options.md.")
    value: Value = Field(description="In the form of the option's type; lists may be lists.")

    @model_validator(mode="after")
    def _is_of_one(self) -> OptionCreate:
        if sum(each is not None for each in (self.subnet, self.machine, self.reservation)) != 1:
            raise ValueError("give one of subnet, machine and reservation")
        return self


class OptionPatch(Schema):
    """What is to change."""

    value: Value = Field(description="In the form of the option's type; lists may be lists.")


class OptionList(Page):
    """Which options."""

    subnet: list[str] = Field([], description="Names of subnets.")
    machine: list[str] = Field([], description="Names of machines.")
    reservation: list[str] = Field([], description="Addresses of reservations.")


class OptionView(TypedDict):
    """An option. ``code`` is its number, ``name`` its name if it has one; ``value`` is in the form of its type."""

    id: str
    subnet: str | None
    machine: str | None
    reservation: str | None
    family: int
    code: int
    name: str | None
    value: str
    created_at: str


class OptionChanged(OptionView):
    """An option after a change; ``changed`` is false when it was like that already."""

    changed: bool


_OWNERS = {
    "subnet": (Subnet.id, Subnet.name, DhcpOption.subnet_id),
    "machine": (Machine.id, Machine.name, DhcpOption.machine_id),
    "reservation": (Reservation.id, Reservation.address, DhcpOption.reservation_id),
}
"""What an option may belong to: its identifier, its name, and the column that refers to it."""


@endpoint(dhcp_options, "GET", "/dhcp-options", query=OptionList, answers={200: Listing[OptionView]})
def list_options(*, query: OptionList) -> Reply:
    """List options."""
    fields = query.chosen(OptionView.__annotations__)
    statement = select(DhcpOption).order_by(DhcpOption.id).limit(query.limit + 1)
    for owner, (identifier, name, refers) in _OWNERS.items():
        if wanted := getattr(query, owner):
            statement = statement.where(refers.in_(select(identifier).where(name.in_(wanted))))
    if (last := query.after(1)) is not None:
        statement = statement.where(DhcpOption.id > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
        views = [_show(session, row) for row in found[: query.limit]]
    return page(found, query.limit, [{name: view[name] for name in fields} for view in views], lambda row: (row.id,))


@endpoint(dhcp_options, "GET", "/dhcp-options/<option_id>", answers={200: OptionView}, errors=(404,))
def get_option(option_id: str) -> Reply:
    """Show an option."""
    with context().store.session() as session:
        return _show(session, _find(session, option_id))


@endpoint(dhcp_options, "POST", "/dhcp-options", body=OptionCreate, query=Change, answers={201: OptionView}, errors=(404, 409))
def create_option(*, body: OptionCreate, query: Change) -> Reply:
    """Add an option."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        owner, identifier, family = _owner(session, body)
        definition = options.find(family, body.option)
        value = options.canonical(definition, body.value)
        same = (_OWNERS[owner][2] == identifier, DhcpOption.family == family, DhcpOption.code == definition.code)
        if (there := session.scalar(select(DhcpOption).where(*same))) is not None:
            named = getattr(body, owner)
            message = f"{owner.capitalize()} {named} has {definition} already: {there.value}."
            raise Conflict("option_exists", message, "Change that one.", option=there.id)
        row = DhcpOption(**{f"{owner}_id": identifier}, family=family, code=definition.code, value=value, created_at=here.clock())
        session.add(row)
        session.flush()
        _told(session, "option.created", "added", row)
        return _show(session, row)


@endpoint(
    dhcp_options,
    "PATCH",
    "/dhcp-options/<option_id>",
    body=OptionPatch,
    query=Change,
    answers={200: OptionChanged},
    errors=(404,),
)
def change_option(option_id: str, *, body: OptionPatch, query: Change) -> Reply:
    """Change the value of an option."""
    with context().change(dry_run=query.dry_run) as session:
        row = _find(session, option_id, lock=True)
        value = options.canonical(options.find(6 if row.family == 6 else 4, row.code), body.value)
        changed = row.value != value
        row.value = value
        if changed:
            _told(session, "option.changed", "changed", row)
        return {**_show(session, row), "changed": changed}


@endpoint(dhcp_options, "DELETE", "/dhcp-options/<option_id>", query=Change, answers={204: None}, errors=(404,))
def delete_option(option_id: str, *, query: Change) -> Reply:
    """Delete an option."""
    with context().change(dry_run=query.dry_run) as session:
        row = _find(session, option_id, lock=True)
        _told(session, "option.deleted", "deleted", row)
        session.delete(row)
    return None


def _owner(session: Session, body: OptionCreate) -> tuple[str, str, Family]:
    """What an option belongs to, its identifier and the family; its row is locked, so that nobody adds the same beside us."""
    if body.machine is not None:
        return "machine", find_machine(session, body.machine, lock=True).id, body.family or 4
    if body.subnet is not None:
        subnet = subnets.find(session, body.subnet, lock=True)
        owner, identifier, cidr, what = "subnet", subnet.id, subnet.cidr, f"Subnet {subnet.name} ({subnet.cidr})"
    else:
        address = str(body.reservation).lower()
        statement = select(Reservation).where((Reservation.address == address) | (Reservation.id == address))
        reservation = session.scalar(statement.with_for_update(of=Reservation))
        if reservation is None:
            raise NotFound("reservation_not_found", f"There is no reservation of {body.reservation}.", reservation=address)
        owner, identifier, cidr, what = "reservation", reservation.id, reservation.address, f"The reservation of {address}"
    family: Family = 6 if ":" in cidr else 4
    if body.family not in (None, family):
        raise Invalid("option_family", f"{what} is served by DHCPv{family}, not by DHCPv{body.family}.", "Leave family out.")
    return owner, identifier, family


def _told(session: Session, kind: str, what: str, row: DhcpOption) -> None:
    owner, named = _named(session, row)
    definition = options.Definition(6 if row.family == 6 else 4, row.code, options.named(row.family, row.code), "hex")
    message = f"{definition} of {owner} {named} was {what} by {caller()}"
    carry_out(session, kind, message, {owner: named, "family": row.family, "code": row.code})


def _named(session: Session, row: DhcpOption) -> tuple[str, str]:
    """What an option belongs to, and its name."""
    for owner, (identifier, name, refers) in _OWNERS.items():
        if (referred := getattr(row, refers.key)) is not None:
            return owner, session.scalars(select(name).where(identifier == referred)).one()
    raise LookupError(row.id)


def _show(session: Session, row: DhcpOption) -> dict[str, Any]:
    owner, named = _named(session, row)
    shown = {"id": row.id, **dict.fromkeys(_OWNERS), owner: named, "family": row.family, "code": row.code}
    return {**shown, "name": options.named(row.family, row.code), "value": row.value, "created_at": row.created_at.isoformat()}


def _find(session: Session, option_id: str, *, lock: bool = False) -> DhcpOption:
    statement = select(DhcpOption).where(DhcpOption.id == option_id)
    row = session.scalar(statement.with_for_update() if lock else statement)
    if row is None:
        hint = "'metalwright dhcp-option list' shows them."
        raise NotFound("option_not_found", f"There is no DHCP option {option_id}.", hint, option=option_id)
    return row
