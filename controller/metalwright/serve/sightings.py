# SPDX-License-Identifier: GPL-3.0-or-later
"""What DHCP and TFTP see of a machine, written into the event log of the operation it is in.

The services hand over what they saw and go on at once; a thread finds the machine and records it. Each kind is recorded once a
boot: firmware, iPXE and the agent all ask again. Machines without a running operation are no news.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Row, Select, bindparam, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from metalwright.lifecycle.diagnosis import turned_on
from metalwright.lifecycle.held import WITHOUT_INVENTORY
from metalwright.store import Store
from metalwright.store.base import Clock, utcnow
from metalwright.store.events import record
from metalwright.store.models import Interface, Machine, Operation

log = structlog.get_logger()

_WAITING = 1000
_NEIGHBOURS = Path("/proc/net/arp")


@dataclass(frozen=True)
class Sighting:
    """Something a machine did. ``once`` names what is recorded once a boot; one of ``mac`` and ``address`` says who it was."""

    kind: str
    once: str
    message: str
    data: dict[str, Any]
    mac: str | None = None
    address: str | None = None


def _operations(column: ColumnElement[Any]) -> Select[Any]:
    """What a packet's sender is doing. Columns only: this is asked for every packet, and a machine's inventory is long."""
    running = (_OPERATION.c.id == _MACHINE.c.operation_id) & (_OPERATION.c.state == "running")
    return (
        select(_OPERATION.c.id, _OPERATION.c.attempt, _OPERATION.c.phase)
        .select_from(_INTERFACE.join(_MACHINE, _MACHINE.c.id == _INTERFACE.c.machine_id).outerjoin(_OPERATION, running))
        .where(column == bindparam("who"))
    )


_OPERATION, _MACHINE, _INTERFACE = Operation.__table__, Machine.__table__, Interface.__table__
_BY_ADDRESS, _BY_MAC = _operations(_INTERFACE.c.address), _operations(_INTERFACE.c.mac)


class Sightings:
    """Records sightings in a thread of its own; when 1,000 wait, more are dropped rather than holding a service up."""

    def __init__(self, store: Store, clock: Clock = utcnow, neighbours: Path = _NEIGHBOURS) -> None:
        self._store = store
        self._clock = clock
        self._neighbours = neighbours
        self._queue: queue.Queue[tuple[datetime, Sighting]] = queue.Queue(_WAITING)
        self._told: dict[str, set[str]] = {}

    def start(self) -> None:
        """Run the thread; it ends with the process."""
        threading.Thread(target=self._work, name="sightings", daemon=True).start()

    def put(self, sighting: Sighting) -> None:
        """Hand a sighting over; never waits."""
        try:
            self._queue.put_nowait((self._clock(), sighting))
        except queue.Full:
            return

    def _work(self) -> None:
        while True:
            self.keep(*self._queue.get())

    def keep(self, at: datetime, sighting: Sighting) -> None:
        """``record``, in the thread that calls; what the database does not take is lost and logged."""
        try:
            self.record(sighting, at)
        except SQLAlchemyError:
            log.exception("sighting lost", kind=sighting.kind)

    def record(self, sighting: Sighting, at: datetime) -> bool:
        """Write one sighting down; False when it is no news."""
        with self._store.session() as session:
            operation = self._operation(session, sighting)
            if operation is None or operation.id is None:
                return False
            # A phase begins before the machine is turned on: what it still says from its former boot is not this boot's.
            boot = f"{operation.id}/{operation.attempt}/{operation.phase}/{turned_on(session, operation.id)}"
        told = self._told.setdefault(boot, set())
        if sighting.once in told:
            return False
        told.add(sighting.once)
        while len(self._told) > _WAITING:
            del self._told[next(iter(self._told))]
        with self._store.write() as session:
            stored = session.get(Operation, operation.id, options=[WITHOUT_INVENTORY])
            if stored is None:
                return False
            record(
                session, sighting.kind, f"{stored.machine.name}: {sighting.message}", operation=stored, data=sighting.data, at=at
            )
        return True

    def _operation(self, session: Session, sighting: Sighting) -> Row[Any] | None:
        """The running operation of the machine that has the card, without an ``id`` if it has none; None: nobody's card."""
        found = session.execute(_BY_ADDRESS, {"who": sighting.address}).first() if sighting.address else None
        mac = sighting.mac or (None if found else self._neighbour(sighting.address))
        return session.execute(_BY_MAC, {"who": mac.lower()}).first() if mac else found

    def _neighbour(self, address: str | None) -> str | None:
        """The MAC that the kernel knows behind an address of a local network: a machine with a dynamic lease."""
        try:
            lines = self._neighbours.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            return None
        return next((words[3] for words in map(str.split, lines) if len(words) > 3 and words[0] == address), None)
