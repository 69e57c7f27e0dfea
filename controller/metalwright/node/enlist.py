# SPDX-License-Identifier: GPL-3.0-or-later
"""Unknown machines may do one thing: post facts about themselves, where the subnet's policy says so.

A machine that enlists becomes a row in state ``new`` and is turned off. It has no power driver, nothing it said is executed,
and it does nothing until a person commissions it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from flask import Blueprint, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, NotFound, Unavailable
from metalwright.node import inventory, who
from metalwright.node.bodies import Message, Word, read
from metalwright.node.plane import Plane
from metalwright.store.events import record
from metalwright.store.models import Event, Machine, Subnet


class Enlistment(Message):
    """What an unknown machine says."""

    protocol: Literal[1]
    identity: who.Identity
    firmware: Literal["bios", "uefi"]
    boot_mac: Word
    inventory: inventory.Inventory


def routes(plane: Plane) -> Blueprint:
    """``POST /agent/enlist``."""
    room = Blueprint("enlist", __name__, url_prefix="/agent")

    @room.post("/enlist")
    def enlist() -> tuple[dict[str, Any], int]:
        with plane.store.session() as session:
            _subnet(session)
        said = read(Enlistment, plane.settings.limits.inventory_bytes)
        with plane.store.write() as session:
            machine = _take(plane, session, _subnet(session), said)
        return {"machine": machine.id, "action": "poweroff"}, 202

    return room


def _subnet(session: Session) -> Subnet:
    subnet = who.subnet_of(session, request.remote_addr)
    if subnet is None or not subnet.enlist:
        raise NotFound("not_found", "There is nothing here.")
    return subnet


def _take(plane: Plane, session: Session, subnet: Subnet, said: Enlistment) -> Machine:
    boot_mac = who.mac_address(said.boot_mac)
    identity = said.inventory.identity()
    macs = {*identity.macs, *said.identity.macs}
    if boot_mac is None or boot_mac not in macs:
        raise Invalid("invalid_body", "boot_mac is none of the machine's MACs.")
    known = _known(session, macs, identity)
    if known is not None:
        if known.state == "new" and known.hardware is not None and boot_mac in {i.mac for i in known.interfaces}:
            known.updated_at = plane.clock()  # it asks again: the answer was lost, or it was turned on again
            return known
        raise Conflict("machine_known", "This machine is known already.", "Boot it again.")
    now = plane.clock()
    since = now - timedelta(minutes=1)
    lately = session.scalar(select(func.count()).where(Event.kind == "machine.enlisted", Event.at > since)) or 0
    if lately >= plane.settings.limits.enlist_per_minute:
        raise Unavailable("enlist_busy", "Too many machines enlist at this moment.", "The machine asks again by itself.")
    machine = Machine(name=_free_name(session, boot_mac), created_at=now, updated_at=now)
    session.add(machine)
    inventory.store(session, machine, said.inventory)
    machine.firmware = said.firmware
    inventory.boots_from(machine, boot_mac)
    session.flush()
    data = {"mac": boot_mac, "subnet": subnet.name, "address": request.remote_addr}
    message = f"{machine.name} ({boot_mac}) enlisted on subnet {subnet.name}"
    record(session, "machine.enlisted", message, machine=machine, data=data, at=now)
    return machine


def _known(session: Session, macs: set[str], identity: who.Identity) -> Machine | None:
    """A machine that has one of the MACs, or the UUID and serial number."""
    for mac in sorted(macs):
        if found := who.find(session, mac, None):
            return found.machine
    uuid = who.system_uuid(identity.system_uuid or "")
    same = session.scalars(select(Machine).where(Machine.system_uuid == uuid)) if uuid else ()
    return next((machine for machine in same if who.score(machine, identity) >= who.SAME_MACHINE), None)


def _free_name(session: Session, mac: str) -> str:
    """``node-`` and the MAC: no part of the name is the machine's own choice."""
    name = f"node-{mac.replace(':', '')}"
    taken = session.scalar(select(Machine.id).where(Machine.name == name))
    return f"{name}-2" if taken else name
