# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine on its way from power-on to the agent, which may stop anywhere."""

from __future__ import annotations

from typing import Any

from node_world import ADDRESS, BUILD, MAC, World
from sqlalchemy import update

from metalwright.serve.sightings import Sighting, Sightings
from metalwright.store.events import record
from metalwright.store.models import Operation, Task


class Boot:
    """What happens between power-on and the agent, as the parts of the controller see it."""

    def __init__(self, world: World, operation: str) -> None:
        self.world, self.operation = world, operation
        self.sightings = Sightings(world.store, world.clock)

    def on(self) -> None:
        """A worker has told the machine to boot from the network."""
        with self.world.store.write() as session:
            operation = session.get_one(Operation, self.operation)
            session.execute(update(Task).where(Task.operation_id == operation.id).values(state="done"))
            message = f"{operation.machine.name} told to boot from the network through ipmi"
            record(session, "power.netboot", message, operation=operation, at=self.world.clock())

    def dhcp(self, packet: str = "ack") -> None:
        data = {"packet": packet, "mac": MAC, "address": ADDRESS}
        sighting = Sighting("boot.dhcp", f"boot.dhcp/{packet}", f"DHCP {packet} for {MAC}", data, mac=MAC)
        assert self.sightings.record(sighting, self.world.clock())

    def loader(self) -> None:
        told = Sighting("boot.loader", "boot.loader", "fetched snponly.efi by TFTP", {}, address=ADDRESS)
        assert self.sightings.record(told, self.world.clock())

    def kernel(self) -> None:
        assert self.world.get(f"/boot/agent/{BUILD}/vmlinuz?o={self.operation}").status_code == 200

    def silence(self) -> None:
        """Nothing for longer than any phase before the agent may take; then the reaper comes."""
        self.world.clock.forward(601)
        self.reap()

    def reap(self) -> None:
        with self.world.store.write() as session:
            self.world.engine.reap(session)

    def failure(self) -> dict[str, Any]:
        operation = self.world.operation(self.operation)
        assert operation.state == "failed" and operation.failure is not None
        return operation.failure
