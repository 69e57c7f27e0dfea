# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are killed, and databases that go away: every machine is deployed all the same."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cable import Cable
from played import POSTGRESQL, SETTINGS, Fault, begun, kill, play, processes
from postgres import PostgresServer
from sqlalchemy import select

from metalwright.sim.cabling import Cabling
from metalwright.sim.fleet import Fleet
from metalwright.sim.throwaway import Throwaway
from metalwright.sim.wishes import Wishes
from metalwright.store import Store
from metalwright.store.models import Task

SERVICES = ("mw-admin", "mw-node", "mw-worker", "mw-tftp", "mw-dhcp", "dnsmasq", "supervisor")


def killing(controller: Throwaway, kills: int, seed: int) -> Fault:
    """SIGKILL of each process in turn, at random moments; a supervisor takes all with it and is started again."""
    dice = random.Random(seed)

    async def fault(fleet: Fleet) -> None:
        await begun(fleet, 0.1)
        assert set(SERVICES) <= set(processes(controller))
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


@contextmanager
def cabled() -> Iterator[Cabling]:
    """A network for DHCP and TFTP; this thread, and those it starts, are in it meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    cable = Cabling()
    try:
        yield cable
    finally:
        cable.close()
        assert libc.setns(before, 0) == 0, os.strerror(ctypes.get_errno())
        os.close(before)


def test_every_process_is_killed_at_random_moments(database: str, machines: int, kills: int) -> None:
    seed = random.randrange(1 << 16)
    print(f"seed {seed}")
    with cabled() as cable:
        controller = Throwaway(cable, SETTINGS)
        try:
            controller.start()
            report = play(
                *("SIGKILL of every process", controller, Wishes(count=machines, seed=seed), killing(controller, kills, seed)),
                database=database,
                cable=cable,
                note=lambda _: f"{kills} kills",
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
            database=POSTGRESQL,
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
        report = play("PostgreSQL restarted twice", controller, wishes, fault, database=POSTGRESQL)
        assert report.deployed == machines, report.as_dict()
    finally:
        controller.close()
