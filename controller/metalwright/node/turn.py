# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is: who of those that ask for a machine's boot script gets it, and with it the operation's one token.

Where the DHCP server is not ours, an address proves nothing, and a new token voids the one before. So whoever asks first holds
the script: until half of what booting the agent may take is over, and, once the agent reports, for as long as it does. Others
wait and ask again by themselves; the second half is theirs, so one that asked in a machine's place keeps it from nothing. Who
asks again from the same address, as a machine that restarts does, is served at once. An asker whose agent was refused as
another machine's gets nothing more until the machine is turned on anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from itertools import takewhile
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.lifecycle.operations import OPERATIONS, Signal
from metalwright.node.pace import silence
from metalwright.store.models import Event, Operation

_MARKS = ("power.netboot", "boot.script", "agent.hello", "agent.refused")
_BETWEEN_RESTARTS = timedelta(seconds=10)


class Turn(Enum):
    """What one that asks is answered."""

    GIVEN = "given"
    AGAIN = "again"
    """Given, as it was a moment ago: no machine restarts so fast, and it is no news."""
    WAIT = "wait"
    NEVER = "never"


class Asker(NamedTuple):
    """Who asks: the address of the request, and the MAC that iPXE says it came by (None: none that makes sense)."""

    address: str | None
    mac: str | None


def turn(session: Session, operation: Operation, asker: Asker, settings: Settings, now: datetime) -> Turn:
    """Whether ``asker`` gets the boot script of the machine of ``operation``, which is awaited on the network."""
    marks = _since_power_on(session, operation)
    if asker in _refused(marks):
        return Turn.NEVER
    if marks and marks[-1].kind == "boot.script" and _asker(marks[-1]) == asker and abs(now - marks[-1].at) < _BETWEEN_RESTARTS:
        return Turn.AGAIN
    scripts = [event for event in marks if event.kind == "boot.script"]
    phase = OPERATIONS[operation.kind].phase(operation.phase or "")
    if phase.until == Signal.BOOT_SCRIPT or not scripts or _asker(scripts[-1]) == asker:
        return Turn.GIVEN
    if phase.agent:
        passed = getattr(settings.deadlines, phase.within)
        last_sign = (operation.deadline or now) - timedelta(seconds=passed)
        held_until = last_sign + timedelta(seconds=silence(settings))
    else:
        held_until = _first_of_its_holder(marks).at + timedelta(seconds=settings.deadlines.boot / 2)
    return Turn.WAIT if now < held_until else Turn.GIVEN


def _since_power_on(session: Session, operation: Operation) -> list[Event]:
    """The marks since the machine was last told to boot from the network, oldest first."""
    statement = select(Event).where(Event.operation_id == operation.id, Event.kind.in_(_MARKS)).order_by(Event.id.desc())
    newest_first = session.scalars(statement.limit(1000))
    return list(takewhile(lambda event: event.kind != "power.netboot", newest_first))[::-1]


def _asker(script: Event) -> Asker:
    return Asker(script.data.get("address"), script.data.get("mac"))


def _refused(marks: list[Event]) -> set[Asker]:
    """Those to whom a script was given whose agent was then refused."""
    refused: set[Asker] = set()
    latest: Asker | None = None
    for event in marks:
        if event.kind == "boot.script":
            latest = _asker(event)
        elif event.kind == "agent.refused" and latest is not None:
            refused.add(latest)
    return refused


def _first_of_its_holder(marks: list[Event]) -> Event:
    """The first of the scripts that were given, one after the other, to the one that had the last."""
    given = list(takewhile(lambda event: event.kind == "boot.script", reversed(marks)))
    holder = _asker(given[0])
    return list(takewhile(lambda event: _asker(event) == holder, given))[-1]
