# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are killed, and databases that go away: every machine is deployed all the same."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from cable import Cable
from played import SETTINGS, Fault, begun, kill, play, processes
from postgres import PostgresServer
from sqlalchemy import select

from metalwright.sim.fleet import Fleet
from metalwright.sim.throwaway import Throwaway
from metalwright.sim.wishes import Wishes
from metalwright.store import Store
from metalwright.store.models import Task

SERVICES = ("mw-admin", "mw-node", "mw-worker", "supervisor")


def killing(controller: Throwaway, kills: int, seed: int) -> Fault:
    """SIGKILL of each process in turn, at random moments; a supervisor takes all with it and is started again."""
    dice = random.Random(seed)

    async def fault(fleet: Fleet) -> None:
        await begun(fleet, 0.1)
        victims = [SERVICES[number % len(SERVICES)] for number in range(kills)]
        dice.shuffle(victims)
        for victim in victims:
            await asyncio.sleep(dice.uniform(0.2, 2.0))
            if (pid := processes(controller).get(victim)) is not None:
                kill(pid)
            if victim == "supervisor":
                await asyncio.to_thread(controller.stop)
                await asyncio.to_thread(controller.start)

    return fault


def test_every_process_is_killed_at_random_moments(machines: int, kills: int) -> None:
    seed = random.randrange(1 << 16)
    print(f"seed {seed}")
    controller = Throwaway(None, SETTINGS)
    try:
        controller.start()
        wishes, fault = Wishes(count=machines, seed=seed), killing(controller, kills, seed)
        report = play("SIGKILL of every process", controller, wishes, fault, note=lambda _: f"{kills} kills")
        assert report.deployed == machines, report.as_dict()
    finally:
        controller.close()


@pytest.mark.large
def test_every_process_is_killed_on_postgresql(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, machines: int, kills: int
) -> None:
    monkeypatch.setenv("METALWRIGHT_DATABASE_URL", postgres_server.fresh())
    seed = random.randrange(1 << 16)
    print(f"seed {seed}")
    controller = Throwaway(None, SETTINGS)
    try:
        controller.start()
        wishes, fault = Wishes(count=machines, seed=seed), killing(controller, kills, seed)
        report = play(
            *("SIGKILL of every process", controller, wishes, fault), database="PostgreSQL", note=lambda _: f"{kills} kills"
        )
        assert report.deployed == machines, report.as_dict()
    finally:
        controller.close()


def test_one_of_two_controllers_is_killed_for_good(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, machines: int
) -> None:
    """Machines reach both by one address, which leads to whoever is alive, as with a load balancer."""
    url = postgres_server.fresh()
    monkeypatch.setenv("METALWRIGHT_DATABASE_URL", url)
    store, cable = Store(url), Cable()
    first = Throwaway(None, SETTINGS, node_url=f"http://127.0.0.1:{cable.port}")
    second = first.twin()
    cable.target = first.node_port
    took_over: list[float] = []

    def held(worker: int | None = None) -> set[int]:
        """The tasks that a worker holds."""
        with store.session() as session:
            owners = session.execute(select(Task.id, Task.owner).where(Task.state == "running")).all()
        return {task for task, owner in owners if f":{worker}:" in (owner or "")}

    async def fault(fleet: Fleet) -> None:
        worker = processes(first)["mw-worker"]
        async with asyncio.timeout(120):
            while len(held(worker)) < 2:
                await asyncio.sleep(0)
        cable.target = second.node_port
        killed = time.monotonic()
        await asyncio.to_thread(first.stop)
        while held(worker):
            await asyncio.sleep(0.05)
        took_over.append(time.monotonic() - killed)

    try:
        first.start()
        second.start()
        report = play(
            *("one of two controllers killed for good", first, Wishes(count=machines), fault),
            database="PostgreSQL",
            others=[second],
            note=lambda _: f"its tasks were taken over after {took_over[0]:.1f} s",
        )
        assert report.deployed == machines, report.as_dict()
    finally:
        second.stop()
        first.close()
        cable.close()
        store.engine.dispose()


def test_postgresql_is_restarted(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, machines: int) -> None:
    monkeypatch.setenv("METALWRIGHT_DATABASE_URL", postgres_server.fresh())
    controller = Throwaway(None, SETTINGS)

    async def fault(fleet: Fleet) -> None:
        await begun(fleet)
        for _ in range(2):
            await asyncio.to_thread(postgres_server.halt)
            await asyncio.sleep(2)
            await asyncio.to_thread(postgres_server.start)
            await asyncio.sleep(1)

    try:
        controller.start()
        wishes = Wishes(count=machines)
        report = play("PostgreSQL restarted twice", controller, wishes, fault, database="PostgreSQL")
        assert report.deployed == machines, report.as_dict()
    finally:
        controller.close()
