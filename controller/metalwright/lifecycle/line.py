# SPDX-License-Identifier: GPL-3.0-or-later
"""The line in which operations wait: how many machines may be on their way through the agent, and install, at once.

Ten thousand machines that are turned on together ask for everything at the same time. A controller that can not keep up answers
each so late that its firmware gives up and begins anew, which is more to answer still: none of them ever gets there. So no more
are turned on than can be answered, and the next when one of them is done.

A machine counts while its agent works as well, but not for long: what it asks for in its first minutes, inventories and images,
is most of what it costs. One that wipes or tests for hours holds up nobody.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from metalwright.config import Limits
from metalwright.lifecycle.operations import OPERATIONS, OperationKind
from metalwright.store.models import Operation
from metalwright.store.turns import one_at_a_time

LINE = 0x6D77_696E
"""Number of the lock of PostgreSQL under which operations are counted and begun; see ``store.turns``."""

FRESH = timedelta(minutes=10)
"""So long after its operation began a machine counts whose agent works."""

_PHASES = [phase for kind in OPERATIONS.values() for phase in (*kind.phases, *kind.inquiry)]
_BOOTING = sorted({phase.name for phase in _PHASES if phase.netboot and not phase.agent})
_AT_WORK = sorted({phase.name for phase in _PHASES if phase.agent})
_INSTALLING = [kind.name for kind in OPERATIONS.values() if kind.limited]


def reason_to_wait(session: Session, kind: OperationKind, limits: Limits, now: datetime) -> str | None:
    """Why an operation of that kind has to wait before it begins; None if it may begin."""
    if kind.limited and _installing(session) >= limits.installs:
        return f"waiting in line: {limits.installs} installations are under way"
    if kind.netboots and _on_their_way(session, now) >= limits.boots:
        return f"waiting in line: {limits.boots} machines boot into the agent or have just done so"
    return None


def next_in_line(session: Session, limits: Limits, now: datetime) -> list[Operation]:
    """Operations that wait and may begin now, oldest first, locked."""
    room = limits.boots - _on_their_way(session, now)
    installs = min(room, limits.installs - _installing(session))
    waiting = [
        *_waiting(session, Operation.kind.in_(_INSTALLING), installs),
        *_waiting(session, Operation.kind.not_in(_INSTALLING), room),
    ]
    return sorted(waiting, key=lambda operation: operation.created_at)[: max(0, room)]


def _waiting(session: Session, which: ColumnElement[bool], most: int) -> list[Operation]:
    if most <= 0:
        return []
    oldest = select(Operation).where(Operation.state == "queued", which).order_by(Operation.created_at).limit(most)
    return list(session.scalars(oldest.with_for_update(skip_locked=True, of=Operation)))


def _on_their_way(session: Session, now: datetime) -> int:
    fresh = Operation.phase.in_(_AT_WORK) & (Operation.started_at > now - FRESH)
    return _running(session, or_(Operation.phase.in_(_BOOTING), fresh))


def _installing(session: Session) -> int:
    return _running(session, Operation.kind.in_(_INSTALLING), Operation.phase.not_in(("first-boot", "configure")))


def _running(session: Session, *which: ColumnElement[bool]) -> int:
    """How many are under way. Until the transaction ends nobody else counts: what it begins would not be seen."""
    one_at_a_time(session, LINE)
    return session.scalar(select(func.count()).where(Operation.state == "running", *which)) or 0
