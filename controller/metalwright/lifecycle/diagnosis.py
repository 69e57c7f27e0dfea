# SPDX-License-Identifier: GPL-3.0-or-later
"""What a silence means: from the events of an operation to the code of its failure.

Between power-on and the agent every step of a machine leaves an event (DHCP, loader, start script, boot script, kernel). The last
one that is there says which step the machine did not take. What was heard of other machines that claim to be this one counts
more: trying again does not help against them, so such a silence is final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.operations import Phase, Signal
from metalwright.store.models import Event, Operation

_CLAIMS = {"agent.refused": "identity_mismatch", "machine.identity_conflict": "identity_conflict"}
"""Events that tell of another machine in this one's place."""

_SIGNS = ("boot.%", "agent.%", "script.%", "cloudinit.%", "power.%", "playbook.%")
"""Events that tell what a machine did, or what was done to it."""


@dataclass(frozen=True)
class Silence:
    """Why nothing more is heard of a machine."""

    code: str
    detail: str = ""
    """What the events say beyond the code, without a full stop."""
    hint: str = ""
    """A better one than the code's own."""
    final: bool = False
    """Another attempt would not help."""

    @property
    def said(self) -> str:
        """What happened, to go into a message after a machine's name."""
        return f"{said(self.code)}: {self.detail}" if self.detail else said(self.code)


def of_silence(session: Session, operation: Operation, phase: Phase, *, sees_dhcp: bool = True) -> Silence:
    """Why an operation's phase has passed its deadline. ``sees_dhcp``: the DHCP server is ours and tells what it sees."""
    if phase.until in (Signal.BOOT_SCRIPT, Signal.HELLO):
        seen = _since(session, operation, "power.netboot")
        claims = [event for event in seen or () if event.kind in _CLAIMS]
        if claims:
            return Silence(_CLAIMS[claims[-1].kind], str(claims[-1].data.get("who", "")), final=True)
        if phase.until == Signal.HELLO:
            return _without_agent(phase, seen or ())
        return Silence(phase.code) if seen is None else _without_script(operation, phase, seen, sees_dhcp=sees_dhcp)
    if phase.until == Signal.DEPLOYED:
        seen = _since(session, operation, "agent.handover") or ()
        stages = [event for event in seen if event.kind == "cloudinit.stage"]
        if stages:
            return Silence("first_boot_silent", f"the last it told was: {_without_name(stages[-1])}")
        booted = any(event.kind == "boot.local" for event in seen)
        return Silence(phase.code, "its firmware was sent to boot from the disk" if booted else "")
    return Silence(phase.code)


def _without_script(operation: Operation, phase: Phase, seen: Sequence[Event], *, sees_dhcp: bool) -> Silence:
    kinds = {event.kind: event for event in seen}
    if "boot.refused" in kinds:
        data = kinds["boot.refused"].data
        expected = f", its own is {data['expected']}" if data.get("expected") else ""
        return Silence("boot_refused", f"from {data.get('address')} with {data.get('mac')}{expected}")
    if "boot.start" in kinds or "boot.loader" in kinds:
        return Silence("no_boot_script")
    packets = [event for event in seen if event.kind == "boot.dhcp"]
    if packets:
        answered = any(event.data.get("packet", "ack") == "ack" for event in packets)
        return Silence("no_loader") if answered else Silence("no_address", f"the last was {_without_name(packets[-1])}")
    by_hand = "Its power driver is manual: was it turned on, and told to boot from the network?"
    hint = by_hand if operation.machine.power_driver == "manual" else ""
    return Silence("no_dhcp" if sees_dhcp else phase.code, hint=hint)


def _without_agent(phase: Phase, seen: Sequence[Event]) -> Silence:
    kinds = [event.kind for event in seen]
    asked = kinds.count("boot.script")
    again = f"it asked for its boot script {asked} times" if asked > 1 else ""
    return Silence(phase.code if "boot.kernel" in kinds else "no_kernel", again)


def said(code: str) -> str:
    """What a code means, to go into a message after a machine's name."""
    what = CAUSES[code].what.rstrip(".")
    return what if what.split()[0].isupper() else what[0].lower() + what[1:]


_EVENT = Event.__table__.c
_TURNED_ON = (
    select(_EVENT.at)
    .where(_EVENT.operation_id == bindparam("operation"), _EVENT.kind == "power.netboot")
    .order_by(_EVENT.id.desc())
    .limit(1)
)


def turned_on(session: Session, operation_id: str) -> datetime | None:
    """When the machine of an operation was last told to boot from the network; None: not yet."""
    return session.scalar(_TURNED_ON, {"operation": operation_id})


def last_seen(session: Session, operation: Operation) -> str:
    """The last sign of the machine, with its time: the newest event about it, or what it told since. Empty: none."""
    signs = or_(*(Event.kind.like(kind) for kind in _SIGNS))
    statement = select(Event).where(Event.operation_id == operation.id, signs).order_by(Event.at.desc(), Event.id.desc())
    event = session.scalar(statement.limit(1))  # DHCP is written down a moment after it was seen
    if event is None:
        return operation.last_seen
    at = event.at.isoformat(timespec="seconds")
    told = operation.last_seen.partition(" ")[0]
    return operation.last_seen if told > at else f"{at} {event.message}"[:1024]


def _without_name(event: Event) -> str:
    return event.message.removeprefix(f"{event.machine_name}: ")


def _since(session: Session, operation: Operation, kind: str) -> Sequence[Event] | None:
    """The events since the last one of ``kind``; None when there is none."""
    events = select(Event).where(Event.operation_id == operation.id)
    last = session.scalar(events.where(Event.kind == kind).order_by(Event.id.desc()).limit(1))
    if last is None:
        return None
    return session.scalars(events.where(Event.id > last.id).order_by(Event.id)).all()
