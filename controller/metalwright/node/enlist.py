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

from metalwright.errors import Conflict, Invalid, MetalwrightError, NotFound, TooMany, Unavailable
from metalwright.lifecycle import rules
from metalwright.node import inventory, who
from metalwright.node.bodies import Message, Word, read
from metalwright.node.plane import Plane, Seldom
from metalwright.store.events import record
from metalwright.store.models import Event, Machine, Operation, Subnet

_ONE_HOUR = 3600


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
    seldom = Seldom(_ONE_HOUR)

    @room.post("/enlist")
    def enlist() -> tuple[dict[str, Any], int]:
        with plane.store.session() as session:
            _subnet(session)
        said = read(Enlistment, plane.settings.limits.inventory_bytes)
        with plane.store.write() as session:
            subnet = _subnet(session)
            refusal = _objection(plane, session, said, seldom)
            if refusal is None:
                machine = _take(plane, session, subnet, said).id
        if refusal is not None:
            raise refusal
        return {"machine": machine, "action": "poweroff"}, 202

    return room


def _subnet(session: Session) -> Subnet:
    subnet = who.subnet_of(session, request.remote_addr)
    if subnet is None or not subnet.enlist:
        raise NotFound("not_found", "There is nothing here.")
    return subnet


def _objection(plane: Plane, session: Session, said: Enlistment, seldom: Seldom) -> MetalwrightError | None:
    """Told to the log, and to the operation that waits for the machine whose identity this one claims."""
    identity = said.inventory.identity()
    if any(who.find(session, mac, None) for mac in (*identity.macs, *said.identity.macs)):
        return None
    other = who.rival(session, None, identity, plane.settings.node.shared_uuids)
    if other is None:
        return _full(plane, session)
    waiting = session.get(Operation, other.operation_id) if other.operation_id else None
    if seldom.allows(f"{other.id} {waiting and (waiting.id, waiting.attempt)}", plane.clock()):
        claimant = f"{who.described(identity)} at {request.remote_addr}"
        message = f"{other.name}: an unknown machine claims to be it: {claimant}"
        data = {"who": claimant, "address": request.remote_addr, "machine": other.name}
        record(session, "machine.identity_conflict", message, machine=other, operation=waiting, data=data, at=plane.clock())
    return Conflict("identity_conflict", "A machine with this system UUID is known already, by other MAC addresses.")


def _full(plane: Plane, session: Session) -> TooMany | None:
    """Whether as many machines wait for somebody to commission them as may; the log is told once an hour."""
    most = plane.settings.limits.enlisted_machines
    waiting = select(func.count()).where(Machine.state == "new", Machine.cpu_count.is_not(None))  # none that a person added
    if (session.scalar(waiting) or 0) < most:
        return None
    since = plane.clock() - timedelta(seconds=_ONE_HOUR)
    if not session.scalar(select(func.count()).where(Event.kind == "machine.enlist_refused", Event.at > since)):
        message = (
            f"an unknown machine at {request.remote_addr} was told to wait: {most} have enlisted and were not commissioned, as "
            "many as [limits] enlisted_machines; commission or delete some, or turn enlist off for the subnet (told once an hour)"
        )
        data = {"address": request.remote_addr, "limit": most}
        record(session, "machine.enlist_refused", message, data=data, at=plane.clock())
    return TooMany("enlist_full", "As many machines as may have enlisted already.", "The machine asks again by itself.")


def _take(plane: Plane, session: Session, subnet: Subnet, said: Enlistment) -> Machine:
    boot_mac = who.mac_address(said.boot_mac)
    identity = said.inventory.identity()
    macs = {*identity.macs, *said.identity.macs}
    if boot_mac is None or boot_mac not in macs:
        raise Invalid("invalid_body", "boot_mac is none of the machine's MACs.")
    known = _known(session, macs)
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
    data = {"mac": boot_mac, "subnet": subnet.name, "address": request.remote_addr, "before": None, "state": machine.state}
    message = f"{machine.name} ({boot_mac}) enlisted on subnet {subnet.name}"
    record(session, "machine.enlisted", message, machine=machine, data=data, at=now)
    rules.arrived(session, machine, now, rename=False)
    return machine


def _known(session: Session, macs: set[str]) -> Machine | None:
    """A machine that has one of the MACs."""
    return next((found.machine for mac in sorted(macs) if (found := who.find(session, mac, None))), None)


def _free_name(session: Session, mac: str) -> str:
    """``node-`` and the MAC: no part of the name is the machine's own choice."""
    name = f"node-{mac.replace(':', '')}"
    taken = session.scalar(select(Machine.id).where(Machine.name == name))
    return f"{name}-2" if taken else name
