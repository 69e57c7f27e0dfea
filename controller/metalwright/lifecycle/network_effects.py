# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox's tasks that bring DHCP and DNS to what the database says. However many wait, one of them does it for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import groupby

from sqlalchemy import select, update

from metalwright.config import Settings
from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lifecycle.tasks import Claimed
from metalwright.network import duplicates, engines
from metalwright.network.model import Host, NetworkState
from metalwright.network.state import hosts_of, read
from metalwright.network.turns import last_turn, turn
from metalwright.store import Store
from metalwright.store.base import Clock
from metalwright.store.events import record
from metalwright.store.models import Machine, Operation, Task

APPLY = "network.apply"
_AT_ONCE = 500
"""Tasks that one statement marks as done."""
PAUSE = 4.0
"""For so many times as long as it took to apply the network, nothing more is applied. Every host is read for each that changed:
without a pause, a thousand machines that boot at once would have it done without end, each time for a few of them."""
LONGEST_PAUSE = 1.0
"""Seconds. Machines are turned on when the network is applied, so this is what each waits for it, at most."""


class NetworkEffects:
    """Applies the network, one time after the other; shared by the threads of a worker."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._engine = engines.create(settings)
        self._one = threading.Lock()
        self._counting = threading.Lock()
        self.asked = 0
        """How often ``apply`` was called."""
        self._done = 0
        self._monotonic = monotonic
        self._sleep = sleep
        self._not_before = 0.0
        self._applied: dict[str, list[Host]] = {}
        """What was applied last, by owner."""
        self._token = ""
        """Of that application: it is in the file of turns until anybody takes the next one."""

    def apply(self, _task: Claimed) -> None:
        """Bring DHCP and DNS to what the database said at some moment after this was called.

        Threads that wait for their turn meanwhile find it done by the one that had the turn before them, and what waits in the
        outbox is marked as done with it: its change was written before the state was read.
        """
        with self._counting:
            self.asked += 1
            mine = self.asked
        with self._one:
            if self._done >= mine:
                return
            self._sleep(max(self._not_before - self._monotonic(), 0))
            with self._counting:
                upto = self.asked
            with turn(self._settings) as sign:
                self._token = ""
                began = self._monotonic()
                state = self._apply()
                self._applied = {owner: list(hosts) for owner, hosts in groupby(state.hosts, key=lambda host: host.owner)}
                self._token = sign()
                now = self._monotonic()
            self._not_before = now + min(PAUSE * (now - began), LONGEST_PAUSE)
            self._done = upto

    def apply_for(self, task: Claimed) -> None:
        """Have DHCP and DNS know a machine as the database does.

        Mostly it does already, since the operation before this one: then nothing is applied, for all hosts are read to do that.
        What changed elsewhere in the network has tasks of its own.
        """
        if task.machine_id is None or not self._knows(task.machine_id):
            self.apply(task)

    def _knows(self, machine_id: str) -> bool:
        token, applied = self._token, self._applied
        if not token or last_turn(self._settings) != token:
            return False
        with self._store.session() as session:
            open_tasks = select(Task.id).where(Task.kind == APPLY, Task.state.in_(("pending", "running"))).limit(1)
            if session.scalar(open_tasks) is not None:
                return False
            return hosts_of(session, machine_id) == applied.get(machine_id, [])

    def check_unused(self, machine_id: str) -> None:
        """Look whether the address of a machine's boot interface is used by another, which takes 0.2 s.

        Raises ``Conflict`` (``address_in_use``) that names the card that answered. It is not asked in a subnet that is far, nor
        for the address that the system has which the machine runs: that may answer with a MAC that nobody has told of, of a
        bridge or a bond.
        """
        with self._store.session() as session:
            machine = session.get(Machine, machine_id)
            boot = machine.boot_interface if machine is not None else None
            if machine is None or boot is None or boot.address is None or not self._engine.processes():
                return
            operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
            if machine.deployed and operation is not None and operation.parameters.get("former_address") == boot.address:
                return
            name, address, own = machine.name, boot.address, {interface.mac for interface in machine.interfaces}
        answered = duplicates.answering(self._settings.dhcp.interface, address) - own
        if answered:
            macs = " and ".join(sorted(answered))
            where = self._settings.dhcp.interface
            message = f"{address}, which is to be {name}'s, is used already: {macs} answered for it on {where}."
            hint = "Find that card and free the address, or give the machine another one."
            raise Conflict("address_in_use", message, hint, machine=name, address=address, macs=sorted(answered))

    def _apply(self) -> NetworkState:
        with self._store.session() as session:
            waiting = (Task.kind == APPLY, Task.state == "pending", Task.operation_id.is_(None))
            others = session.scalars(select(Task.id).where(*waiting)).all()  # before the state: it holds all that they are for
            state = read(session, self._settings)
        try:
            self._engine.apply(state)
        except Unavailable as error:
            if error.code == "hook_failed":
                self._tell(error)
            raise  # it is tried again, by all that wait
        except MetalwrightError as error:
            if error.code != "network_rolled_back":  # of that the service tells that has done so
                self._tell(error)
            self._end(others, error)
            raise
        self._end(others, None)
        return state

    def _end(self, tasks: Sequence[int], error: MetalwrightError | None) -> None:
        values = {"state": "failed" if error else "done", "error": error.as_dict() if error else None, "ended_at": self._clock()}
        for start in range(0, len(tasks), _AT_ONCE):
            some = Task.id.in_(tasks[start : start + _AT_ONCE])
            with self._store.write() as session:
                session.execute(
                    update(Task).where(some, Task.state == "pending").values(values).execution_options(synchronize_session=False)
                )

    def _tell(self, error: MetalwrightError) -> None:
        with self._store.write() as session:
            message = f"the network was not changed: {error.message}"
            record(session, "network.refused", message, data=error.as_dict(), at=self._clock())
