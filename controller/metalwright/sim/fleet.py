# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole run: the machines, their BMCs, the relay and the operator, wired; from nothing to deployed, and counted."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from metalwright.cli.client import Access
from metalwright.sim.bmc import WebBmcs
from metalwright.sim.dhcp import Relay
from metalwright.sim.machine import Machine
from metalwright.sim.operator import AT_ONCE, Count, Operator
from metalwright.sim.tally import Tally
from metalwright.sim.wishes import Wishes

LOOPBACK = IPv4Network("127.64.0.0/10")
Show = Callable[["Fleet"], None]
"""Told four times a second how the fleet is."""
_EVERY = 0.25
OPEN_FILES = 1 << 17


@dataclass(frozen=True)
class Where:
    """Around the fleet: the controller, its node plane, and how machines reach both."""

    access: Access
    node_url: str
    image: str
    relay: tuple[str, str] | None = None
    """The relay's address here, and the DHCP server's; None: machines skip DHCP and TFTP."""
    bmc_host: str = "127.0.0.1"
    """Where web BMCs listen, as the controller reaches it."""
    bmc_network: IPv4Network = LOOPBACK
    """Where IPMI BMCs listen, one address each."""
    subnet: dict[str, Any] | None = None
    """To be made on the controller."""
    urls: tuple[str, ...] = ()
    """Of further controllers that share its database."""


@dataclass(frozen=True)
class Report:
    """How a run went."""

    wishes: Wishes
    seconds: float
    deployed: int
    count: Count
    tally: Tally
    cpu_seconds: float
    """Of the simulator itself."""

    @property
    def well(self) -> bool:
        """Every machine is there, and nothing is under way."""
        return sum(self.count.machines.values()) == self.wishes.count and not self.count.operations and not self.count.tasks

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "machines": self.wishes.count,
            "deployed": self.deployed,
            "seconds": round(self.seconds, 2),
            "simulator_cpu_seconds": round(self.cpu_seconds, 2),
            "states": self.count.machines,
            "failures": self.count.failures,
            "under_way": {"operations": self.count.operations, "tasks": self.count.tasks},
            **self.tally.as_dict(),
        }


class Fleet:
    """Machines by number, and how far they are."""

    def __init__(self, wishes: Wishes, where: Where) -> None:
        self.wishes = wishes
        self.where = where
        self.tally = Tally()
        self.relay = Relay(*where.relay) if where.relay else None
        self.machines = [Machine(number, wishes, self.tally, where.node_url, self.relay) for number in range(wishes.count)]
        self.operator = Operator(where.access, self.tally, wishes.prefix, where.urls)
        self.added = 0
        self.told: dict[str, float] = {}
        """When each machine was told to deploy, by the loop's clock."""

    def states(self) -> Counter[str]:
        """Machines by what they do now."""
        return Counter(machine.state for machine in self.machines)

    async def run(self, *, patience: float, keep: bool, show: Show | None = None) -> Report:
        """Add, deploy, follow, count, and remove unless ``keep``. Raises ``TimeoutError`` after ``patience`` seconds."""
        _allow_open_files()
        async with AsyncExitStack() as stack:
            bmcs = await self._open_bmcs(stack)
            if self.relay is not None:
                await self.relay.open()
                stack.callback(self.relay.close)
            shown = asyncio.create_task(self._show(show)) if show else None
            stack.callback(lambda: shown and shown.cancel())
            if self.where.subnet:
                await self.operator.add_subnet(self.where.subnet)
            await self._each(self.machines, lambda machine: self._add(machine, bmcs))
            report = await self._deploy(patience)
            if not keep:
                await self._each(self.machines, lambda machine: self.operator.remove(machine.name))
            for machine in self.machines:
                machine.power("off")
            return report

    async def _deploy(self, patience: float) -> Report:
        began, cpu = time.monotonic(), time.process_time()
        cursor = await self.operator.cursor()
        names = [machine.name for machine in self.machines]
        telling = asyncio.create_task(self._tell())
        await self.operator.follow(names, cursor, self.told, patience)
        await telling
        seconds = time.monotonic() - began
        async with asyncio.timeout(patience):
            while (count := await self.operator.count()).operations or count.tasks:
                await asyncio.sleep(_EVERY)
        deployed = sum(end == "deployed" for end in self.operator.ended.values())
        return Report(self.wishes, seconds, deployed, count, self.tally, time.process_time() - cpu)

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), self.wishes.ramp / max(self.wishes.count, 1)

        async def tell(machine: Machine) -> None:
            await asyncio.sleep(max(began + machine.number * pause - loop.time(), 0))
            self.told[machine.name] = loop.time()
            await self.operator.deploy(machine.name, self.where.image)

        await self._each(self.machines, tell)

    async def _add(self, machine: Machine, bmcs: WebBmcs | Any) -> None:
        await self.operator.add(machine.name, machine.hardware.mac(), bmcs.power(machine.number))
        self.added += 1

    async def _open_bmcs(self, stack: AsyncExitStack) -> Any:
        if self.wishes.bmc == "webhook":
            web = WebBmcs(self.machines, self.wishes, self.tally, self.where.bmc_host)
            stack.callback(web.close)
            await web.open()
            return web
        from metalwright.sim.ipmi import IpmiBmcs

        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metalwright-sim-bmcs-")))
        ipmi = IpmiBmcs(self.machines, self.wishes, directory, self.where.bmc_network)
        stack.callback(ipmi.close)
        await ipmi.open()
        return ipmi

    async def _each(self, machines: Sequence[Machine], act: Callable[[Machine], Awaitable[None]]) -> None:
        """Do something with every machine, a few at once, in their order."""
        waiting = iter(machines)

        async def some() -> None:
            for machine in waiting:
                await act(machine)

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def _show(self, show: Show) -> None:
        while True:
            show(self)
            await asyncio.sleep(_EVERY)


def _allow_open_files() -> None:
    """Each machine that is being served holds a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
