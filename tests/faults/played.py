# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet that is deployed while something is done to its controller, and the count of everything afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from processes import descendants, name

from metalwright.sim import cabling
from metalwright.sim.cabling import Cabling
from metalwright.sim.fleet import Fleet, Report, Where
from metalwright.sim.throwaway import IMAGE, Throwaway
from metalwright.sim.wishes import Wishes

PATIENCE = 900.0
"""Seconds. A machine whose firmware gave up while nobody answered it is turned on anew when its deadline has passed."""
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
SETTINGS = """
[limits]
installs = 50
workers = 16
calls_per_bmc = 16
[deadlines]
power = 20
netboot = 120
[power]
poll_seconds = 0
"""

Fault = Callable[[Fleet], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """A line of the table; ``after`` is the seconds from the end of the fault until all was well."""

    fault: str
    database: str
    machines: int
    deployed: int
    seconds: float
    after: float | None
    note: str


ROWS: list[Row] = []


def table() -> list[str]:
    """All of it, for people."""
    lines = [f"{'fault':<44} {'database':<11} {'machines':>8} {'deployed':>8} {'seconds':>8} {'until well':>10}  note"]
    for row in ROWS:
        after = "" if row.after is None else f"{row.after:.1f}"
        counts = f"{row.machines:>8} {row.deployed:>8} {row.seconds:>8.1f} {after:>10}"
        lines.append(f"{row.fault:<44} {row.database:<11} {counts}  {row.note}")
    return lines


def play(
    what: str,
    controller: Throwaway,
    wishes: Wishes,
    fault: Fault | None = None,
    *,
    database: str,
    others: Iterable[Throwaway] = (),
    cable: Cabling | None = None,
    note: Callable[[Report], str] = lambda _report: "",
) -> Report:
    """Deploy the fleet while ``fault`` happens. Asserts that no machine is missing and that nothing is under way at the end.

    With a ``cable`` machines boot by DHCP and TFTP, too.
    """
    urls = tuple(other.access.url for other in others)
    relay = (cabling.RELAY, cabling.CONTROLLER) if cable else None
    bmcs = cabling.ROUTER if cable else "127.0.0.1"
    where = Where(controller.access, controller.node_url, IMAGE, relay, bmcs, subnet=cabling.SUBNET, urls=urls)

    async def both() -> tuple[Report, float | None]:
        fleet = Fleet(wishes, where)
        running = asyncio.create_task(fleet.run(patience=PATIENCE, keep=True))
        ended = None
        if fault is not None:
            striking = asyncio.create_task(fault(fleet))
            await asyncio.wait((running, striking), return_when=asyncio.FIRST_COMPLETED)
            await striking
            ended = time.monotonic()
        report = await running
        return report, time.monotonic() - ended if ended is not None else None

    report, after = asyncio.run(both())
    assert report.well, report.as_dict()
    ROWS.append(Row(what, database, wishes.count, report.deployed, report.seconds, after, note(report)))
    return report


async def begun(fleet: Fleet, share: float = 0.3) -> None:
    """Wait until so many of the machines have been turned on."""
    while sum(machine.boots > 0 for machine in fleet.machines) < share * fleet.wishes.count:
        await asyncio.sleep(0.05)


def processes(controller: Throwaway) -> dict[str, int]:
    """The controller's processes by name, its supervisor as ``supervisor``."""
    if controller.pid is None:
        return {}
    return {"supervisor": controller.pid, **{name(pid): pid for pid in descendants(controller.pid)}}


def kill(pid: int) -> None:
    """SIGKILL, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
