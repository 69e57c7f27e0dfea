# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox's tasks that call a power driver. Every one may be carried out twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from metalwright import power
from metalwright.config import Settings
from metalwright.errors import MetalwrightError, NotFound
from metalwright.lifecycle.network_effects import NetworkEffects
from metalwright.lifecycle.power_seen import not_reached, reached
from metalwright.lifecycle.tasks import Claimed
from metalwright.lifecycle.worker import Handler
from metalwright.power import PowerDriver, PowerError, PowerState
from metalwright.power.driver import Firmware
from metalwright.store import Store
from metalwright.store.base import Clock
from metalwright.store.events import record
from metalwright.store.models import Machine, Operation

QUERY = 10.0
"""Seconds that a call may take which changes nothing."""
SHARE = 0.5
"""Of the deadline for a power task, what one call may take that changes something: the driver is to say itself what is wrong,
before the deadline says that nothing was heard. A BMC that does not answer at all, or does not let the controller in, is known
after ten seconds; the rest is for hardware that takes its time to do what it said it would."""
REFUSED_FOR_PEOPLE = ("power-off", "power-cycle")
"""Operations that fail where the driver can not do what a person asked for; in others it is left to the person."""


@dataclass(frozen=True)
class Call:
    """What is asked of a driver."""

    do: Callable[[PowerDriver], None]
    state: PowerState | None
    """Afterwards; None: it is asked for."""
    done: str
    """What the event says of it, after the machine's name."""
    by_hand: str = ""
    """What the event says where only a person can do it."""
    only_on: Callable[[PowerDriver], None] | None = None
    """What is done instead by a driver that can turn on and nothing else."""
    kind: str = "power.changed"
    """Of the event."""


def _nothing(_driver: PowerDriver) -> None:
    pass


ON = Call(lambda driver: driver.on(), PowerState.ON, "turned on", "waits: turn it on by hand")
OFF = Call(lambda driver: driver.off(), PowerState.OFF, "turned off", "is to be off: turn it off by hand", _nothing)
CYCLE = Call(lambda driver: driver.cycle(), PowerState.ON, "power-cycled", "is to start again: restart it by hand", _nothing)
ASKED = Call(_nothing, None, "asked for its power state")


class PowerEffects:
    """The handlers, by the kind of their task; ``network`` brings DHCP and DNS to what the database says."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, network: NetworkEffects) -> None:
        self._change = max(settings.deadlines.power * SHARE, 1.0)
        self._store = store
        self._clock = clock
        self._network = network

    def handlers(self) -> dict[str, Handler]:
        """Kind of task to what carries it out."""
        return {
            "power.netboot": self.netboot,
            "power.resume": self.resume,
            "power.on": lambda task: self._call(task, ON),
            "power.off": lambda task: self._call(task, OFF),
            "power.cycle": lambda task: self._call(task, CYCLE),
            "power.query": lambda task: self._call(task, ASKED),
        }

    def netboot(self, task: Claimed) -> None:
        """Have a machine boot from the network: its address is known to DHCP and used by nobody, then it is turned on."""
        self._network.apply_for(task)
        if task.machine_id:
            self._network.check_unused(task.machine_id)
        firmware = _firmware(self._machine(task))

        def boot(driver: PowerDriver) -> None:
            driver.boot_once("network", firmware)
            driver.cycle()

        self._call(
            task,
            Call(
                boot,
                PowerState.ON,
                "told to boot from the network",
                "waits: turn it on by hand, or restart it if it runs, and let it boot from the network",
                only_on=lambda driver: driver.on(),
                kind="power.netboot",
            ),
        )

    def resume(self, task: Claimed) -> None:
        """Let a machine go on where it was before its rescue: a deployed one boots its own disk, another is turned off."""
        machine = self._machine(task)
        if not machine.deployed:
            self._call(task, OFF)
            return
        firmware = _firmware(machine)

        def boot(driver: PowerDriver) -> None:
            driver.boot_once("disk", firmware)
            driver.cycle()

        self._call(task, Call(boot, PowerState.ON, "sent back to its own disk", CYCLE.by_hand, _nothing))

    def _call(self, task: Claimed, call: Call) -> None:
        machine = self._machine(task)
        with self._store.session() as session:
            operation = session.get(Operation, task.operation_id) if task.operation_id else None
        asked = operation is not None and operation.kind in REFUSED_FOR_PEOPLE
        timeout = self._change if call.state else min(QUERY, self._change)
        with self._failing(machine, task):
            driver = power.create(machine.power_driver, machine.power_parameters, timeout)
            replaced = call.only_on is not None and driver.only_on and not asked
            (call.only_on if call.only_on is not None and replaced else call.do)(driver)
            state = call.state if call.state and driver.answers else driver.query()
        by_hand = call.by_hand and (replaced or machine.power_driver == "manual")
        with self._store.write() as session:
            stored = _found(session.get(Machine, machine.id))
            operation = session.get(Operation, task.operation_id) if task.operation_id else None
            reached(session, stored, state, self._clock(), operation=operation)
            message = f"{stored.name} {call.by_hand}" if by_hand else f"{stored.name} {call.done} through {stored.power_driver}"
            data = {"driver": stored.power_driver, "state": str(state)}
            record(session, call.kind, message, machine=stored, operation=operation, data=data, at=self._clock())

    @contextmanager
    def _failing(self, machine: Machine, task: Claimed) -> Iterator[None]:
        """An error of a driver says which machine it is about, and is kept with it unless the driver was reached."""
        try:
            yield
        except MetalwrightError as error:
            error.message = f"{machine.name}: {error.message}"
            if isinstance(error, PowerError) and error.code != "power_refused":
                with self._store.write() as session:
                    stored = session.get(Machine, machine.id)
                    operation = session.get(Operation, task.operation_id) if task.operation_id else None
                    if stored is not None:
                        not_reached(session, stored, error, self._clock(), operation=operation)
            raise

    def _machine(self, task: Claimed) -> Machine:
        with self._store.session() as session:
            return _found(session.get(Machine, task.machine_id))


def _firmware(machine: Machine) -> Firmware:
    return "uefi" if machine.firmware == "uefi" else "bios"


def _found(machine: Any) -> Machine:
    if not isinstance(machine, Machine):
        raise NotFound("machine_not_found", "The machine was deleted.")
    return machine
