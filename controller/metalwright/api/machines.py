# SPDX-License-Identifier: GPL-3.0-or-later
"""``/machines``: list, add, change, delete. What machines are told to do is in ``machine_actions.py``."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response
from sqlalchemy import ColumnElement, Text, cast, func, or_, select
from sqlalchemy.orm import Session

from metalwright import power
from metalwright.api import machine_view
from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.listing import cursor
from metalwright.api.machine_schema import (
    MachineChanged,
    MachineCreate,
    MachineDelete,
    MachineFilter,
    MachineList,
    MachinePatch,
    MachineView,
    Power,
)
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.lifecycle import actions
from metalwright.lifecycle.power_settings import set_power
from metalwright.lifecycle.starting import check_idle
from metalwright.lifecycle.states import State, way_on
from metalwright.lifecycle.tasks import enqueue
from metalwright.network.naming import check_machine_name
from metalwright.store.events import record
from metalwright.store.models import Allocation, Interface, Machine

machines = Blueprint("machines", __name__)

FIELDS = tuple(MachineView.__annotations__)
ANY_TIME = ("description", "pool", "zone", "tags", "locked")
"""Fields that may change while something is under way."""
_SAME_PLACE = frozenset({"auth", "privilege_level", "system", "username"})
"""Power parameters that may change while a secret stays: whatever they are, it is sent where it was sent before."""


@endpoint(machines, "GET", "/machines", query=MachineList, answers={200: Listing[MachineView]})
def list_machines(*, query: MachineList) -> Reply:
    """List machines by name. Of the inventory, parts can be asked for: ``fields=name,hardware.system.serial``."""
    plain, parts = machine_view.split(query.fields)
    fields = query.model_copy(update={"fields": plain}).chosen(FIELDS) if plain or not parts else []
    where = list(filters(query))
    if (last := query.after(1)) is not None:
        where.append(Machine.name > last[0])
    with context().store.session() as session:
        rows = machine_view.read(session, fields, *where, limit=query.limit + 1, parts=parts)
        items = machine_view.dump(session, rows[: query.limit], fields, parts)
    following = cursor((rows[query.limit - 1].name,)) if len(rows) > query.limit else None
    return Response(f'{{"items":[{",".join(items)}],"next":{json.dumps(following)}}}', mimetype="application/json")


def filters(query: MachineList | MachineFilter) -> list[ColumnElement[bool]]:
    """The conditions of a query over machines."""
    found: list[ColumnElement[bool]] = []
    for name in ("state", "pool", "zone", "name"):
        if values := getattr(query, name, None):
            found.append(getattr(Machine, name).in_(values))
    if query.allocation:
        found.append(Machine.allocation_id.in_(select(Allocation.id).where(Allocation.name.in_(query.allocation))))
    found.extend(_has_tag(tag) for tag in query.tag)
    return found


def _has_tag(tag: str) -> ColumnElement[bool]:
    """Tags are a JSON list of words without anything to escape. LIKE would not do: SQLite's knows no upper and lower case."""
    tags = cast(Machine.tags, Text)
    return func.replace(tags, f'"{tag}"', "") != tags


@endpoint(machines, "GET", "/machines/<name>", answers={200: MachineView}, errors=(404,))
def get_machine(name: str) -> Reply:
    """Show a machine."""
    with context().store.session() as session:
        return shown(session, name)


@endpoint(machines, "POST", "/machines", body=MachineCreate, query=Change, answers={201: MachineView}, errors=(409,))
def create_machine(*, body: MachineCreate, query: Change) -> Reply:
    """Add a machine; it is ``new`` until it is commissioned."""
    power.create(body.power.driver, body.power.parameters)
    macs = list(dict.fromkeys(body.macs))
    name = body.name or "m-" + macs[0].replace(":", "")
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        _check_macs_free(session, macs, None)
        check_name_free(session, name, None)
        check_machine_name(session, name, macs)
        columns = body.model_dump(exclude={"macs", "name", "power"})
        machine = Machine(name=name, **columns, created_at=here.clock(), updated_at=here.clock())
        set_power(machine, body.power.driver, _without_masks(body.power, {}))
        machine.interfaces = _interfaces(macs, [])
        session.add(machine)
        session.flush()
        message = f"machine {name} was added by {caller()}"
        data = {"macs": macs, "before": None, "state": machine.state}
        record(session, "machine.created", message, machine=machine, data=data, at=here.clock())
        return shown(session, machine.id)


@endpoint(
    machines, "PATCH", "/machines/<name>", body=MachinePatch, query=Change, answers={200: MachineChanged}, errors=(404, 409)
)
def change_machine(name: str, *, body: MachinePatch, query: Change) -> Reply:
    """Change a machine; what is not named stays."""
    here = context()
    given = {field: getattr(body, field) for field in body.model_fields_set}
    for field, value in given.items():
        if value is None and field != "firmware":
            raise Invalid("invalid_request", f"The request is not valid: {field}: must not be null.", "Leave it out to keep it.")
    with here.change(dry_run=query.dry_run) as session:
        machine = find(session, name, lock=True)
        before = _described(machine)
        with session.no_autoflush:
            _apply(session, machine, given)
        after = _described(machine)
        changed = [field for field in before if before[field] != after[field]]
        _check_may_change(session, machine, changed)
        if changed:
            machine.updated_at = here.clock()
            message = f"{machine.name}: {', '.join(changed)} changed by {caller()}"
            record(session, "machine.changed", message, machine=machine, data={"changed": changed}, at=here.clock())
        if {"macs", "name"} & {*changed}:
            enqueue(session, "network.apply", {}, now=here.clock())
        session.flush()
        return {**shown(session, machine.id), "changed": bool(changed)}


def _described(machine: Machine) -> dict[str, Any]:
    """What a PATCH may change, by its name in the PATCH."""
    plain = ("name", "description", "locked", "arch", "firmware", "pool", "zone", "tags")
    return {
        **{field: getattr(machine, field) for field in plain},
        "macs": [interface.mac for interface in machine.interfaces],
        "power": (machine.power_driver, machine.power_parameters),
    }


def _check_may_change(session: Session, machine: Machine, changed: list[str]) -> None:
    if {*changed} - {*ANY_TIME}:
        check_idle(session, machine)
    if (machine.state == State.DEPLOYED or machine.deployed) and {"macs", "arch"} & {*changed}:
        message = f"What is installed on {machine.name} goes by its MAC addresses and its architecture."
        hint = way_on(machine.state, machine.name)
        raise Conflict("wrong_state", message, hint, machine=machine.name, state=machine.state)


def _apply(session: Session, machine: Machine, given: dict[str, Any]) -> None:
    if "name" in given:
        check_name_free(session, given["name"], machine)
        check_machine_name(session, given["name"], given.get("macs") or [interface.mac for interface in machine.interfaces])
    if "power" in given:
        wished: Power = given.pop("power")
        kept = machine.power_parameters if wished.driver == machine.power_driver else {}
        set_power(machine, wished.driver, _without_masks(wished, kept))
    if "macs" in given:
        macs = list(dict.fromkeys(given.pop("macs")))
        _check_macs_free(session, macs, machine)
        machine.interfaces = _interfaces(macs, machine.interfaces)
    for field, value in given.items():
        setattr(machine, field, value)


def _without_masks(wished: Power, kept: dict[str, Any]) -> dict[str, Any]:
    """The parameters to store: a secret given as asterisks, as the API shows it, is the one that is there.

    But only while it goes where it went. Secrets are shown to nobody, and an address of the caller's own, a URL with ``{secret}``
    in it or a certificate that is not verified any more would show it to who knows only a token. So beside a secret that is kept
    those parameters may change that are known not to matter; a new one matters until somebody has thought about it.
    """
    masked = [name for name, value in wished.parameters.items() if value == power.REDACTED]
    if missing := [name for name in masked if name not in kept]:
        message = f"The parameter {missing[0]} is given as asterisks, but there is no secret to keep."
        raise Invalid("power_misconfigured", message, "Give the secret itself.", parameters=missing)
    parameters = {**wished.parameters, **{name: kept[name] for name in masked}}
    changed = sorted(name for name in {*kept, *parameters} if kept.get(name) != parameters.get(name))
    if masked and (elsewhere := [name for name in changed if name not in _SAME_PLACE]):
        message = f"{' and '.join(masked)} can not be kept, given as asterisks, while {', '.join(elsewhere)} changes:"
        message += " it might be sent elsewhere than before."
        raise Invalid("power_misconfigured", message, "Give the secret itself.", parameters=masked)
    return parameters


def _interfaces(macs: list[str], there: list[Interface]) -> list[Interface]:
    """Interfaces for ``macs`` in that order, the first to boot from; those that are there already keep name and address."""
    known = {interface.mac: interface for interface in there}
    interfaces = [known.get(mac) or Interface(mac=mac) for mac in macs]
    for position, interface in enumerate(interfaces):
        interface.position, interface.boot = position, position == 0
    return interfaces


def _check_macs_free(session: Session, macs: list[str], machine: Machine | None) -> None:
    statement = select(Interface.mac, Machine.name, Machine.state, Machine.hardware).join(Machine)
    if machine is not None:
        statement = statement.where(Interface.machine_id != machine.id)
    taken = session.execute(statement.where(Interface.mac.in_(macs)).order_by(Interface.mac)).first()
    if taken is not None:
        enlisted = (
            taken.state == State.NEW and taken.hardware is not None
        )  # nobody else has an inventory before it is commissioned
        hint = (
            f"{taken.name} announced itself; if it is the one meant, change that one." if enlisted else "Is it the same machine?"
        )
        raise Conflict(
            "mac_taken", f"The MAC address {taken.mac} belongs to machine {taken.name}.", hint, mac=taken.mac, machine=taken.name
        )


def check_name_free(session: Session, name: str, machine: Machine | None) -> None:
    """Raise ``Conflict`` (``name_taken``) if another machine has that name or is deployed under it."""
    statement = select(Machine.name).where(or_(Machine.name == name, Machine.hostname == name, Machine.held_hostname == name))
    if machine is not None:
        statement = statement.where(Machine.id != machine.id)
    holder = session.scalar(statement.limit(1))
    if holder is not None:
        how = "" if holder == name else f", as the host name of {holder}"
        raise Conflict("name_taken", f"The name {name} is taken{how}.", "Choose another name.", name=name, machine=holder)


@endpoint(machines, "DELETE", "/machines/<name>", query=MachineDelete, answers={204: None}, errors=(404, 409))
def delete_machine(name: str, *, query: MachineDelete) -> Reply:
    """Forget a machine and give its addresses back. Nothing is done to the hardware; its events stay."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        machine = find(session, name, lock=True)
        actions.delete(session, machine, by=caller(), force=query.force, now=here.clock())
    return None


def find(session: Session, name: str, *, lock: bool = False) -> Machine:
    """The machine of that identifier or name. Raises ``NotFound`` (``machine_not_found``)."""
    which, first = machine_view.named(name)
    statement = select(Machine).where(which).order_by(first).limit(1)
    machine = session.scalar(statement.with_for_update(of=Machine) if lock else statement)
    if machine is None:
        raise NotFound("machine_not_found", f"There is no machine {name}.", machine=name)
    return machine


def shown(session: Session, name: str) -> dict[str, Any]:
    """The machine of that identifier or name, as the API shows it. Raises ``NotFound`` (``machine_not_found``)."""
    rows = machine_view.read_one(session, FIELDS, name)
    if not rows:
        raise NotFound("machine_not_found", f"There is no machine {name}.", machine=name)
    return machine_view.show(session, rows, FIELDS)[0]
