# SPDX-License-Identifier: GPL-3.0-or-later
"""One pretend machine: power, and what it does while it has some.

    off -> firmware -> loader -> kernel -> agent -> off | installed
                    \\-> installed (its disk, if it has a system) | idle

Power that is cut ends whatever it does at once, as it does for a real one; what is on its disk stays.
"""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from metalwright.sim.agent import Agent, Finished
from metalwright.sim.dhcp import Relay
from metalwright.sim.firmware import BootFailed, Firmware, Kernel
from metalwright.sim.hardware import Hardware
from metalwright.sim.http import Cable
from metalwright.sim.system import first_boot
from metalwright.sim.tally import Tally
from metalwright.sim.wishes import Wishes

State = Literal["off", "firmware", "loader", "kernel", "agent", "first boot", "installed", "idle", "dead"]
Power = Literal["on", "off", "cycle", "reset", "soft"]


class Machine:
    """A machine of a fleet; see ``Wishes``. ``url``: the controller's node plane; ``relay``: how it asks DHCP, if it does."""

    def __init__(self, number: int, wishes: Wishes, tally: Tally, url: str, relay: Relay | None) -> None:
        self.number = number
        self.name = wishes.name(number)
        self.hardware = Hardware(number, wishes.seed)
        self.state: State = "off"
        self.boots = 0
        self._dice = wishes.dice(number)
        self._tally = tally
        self._cable = Cable(wishes, self._dice)
        self._url = url
        self._relay = relay
        self._dies_at = wishes.death(number)
        self._report_url: str | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def powered(self) -> bool:
        """Whether it has power."""
        return self.state != "off"

    def power(self, action: Power) -> None:
        """What its BMC does."""
        if action in ("off", "soft", "cycle", "reset"):
            self._cut()
        if action != "soft" and action != "off" and not self.powered:
            self.state = "firmware"
            self._life = asyncio.get_running_loop().create_task(self._live())

    def _cut(self) -> None:
        if self._life is not None:
            self._life.cancel()
            self._life = None
        self.state = "off"

    async def _live(self) -> None:
        began = time.monotonic()
        try:
            while await self._boot(began):
                began = time.monotonic()
        except OSError as error:  # no file descriptor or no port left here, not there
            self._tally.events[f"simulator: {error.strerror}"] += 1
            self.state = "dead"

    async def _boot(self, began: float) -> bool:
        """One boot; True: it restarts."""
        self.boots += 1
        self._tally.events["boots"] += 1
        self.state = "firmware"
        await self._may_die("firmware")
        firmware = Firmware(self.hardware, self._cable, self._dice, self._tally, self._relay, self._url)
        try:
            await firmware.loader()
            self.state = "loader"
            await self._may_die("loader")
            kernel = await firmware.script()
            if kernel is not None:
                self.state = "kernel"
                self._tally.took("power-on to boot script", time.monotonic() - began)
                await self._may_die("kernel")
                await firmware.load(kernel)
        except BootFailed:
            self._tally.events["boots from disk for want of an answer"] += 1
            kernel = None
        if kernel is None:
            await self._from_disk()
            return False
        self._tally.took("power-on to agent", time.monotonic() - began)
        return await self._agent(kernel)

    async def _agent(self, kernel: Kernel) -> bool:
        self.state = "agent"
        agent = Agent(self.hardware, self._cable, self._dice, self._tally, kernel.agent_url, self._at_step)
        await self._may_die("agent")
        finished: Finished = await agent.run()
        if finished.action == "kexec":
            self._report_url = finished.report_url
            await self._from_disk()
            return False
        if finished.action == "poweroff":
            self._life = None
            self.state = "off"
        return finished.action == "reboot"

    async def _at_step(self, step: str) -> None:
        if step == "write":
            await self._may_die("write")
        if step in ("write", "wipe"):
            self._report_url = None  # whatever was on its disk is gone

    async def _from_disk(self) -> None:
        if self._report_url is None:
            self.state = "idle"
            return
        self.state = "first boot"
        await self._may_die("first-boot")
        await first_boot(self.hardware, self._cable, self._tally, self._report_url)
        self.state = "installed"

    async def _may_die(self, phase: str) -> None:
        """Fall silent for ever, the first time it comes here; cutting its power makes it well."""
        if self._dies_at == phase:
            self._dies_at = None
            self._tally.events[f"died at {phase}"] += 1
            self.state = "dead"
            await asyncio.Event().wait()
