# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot storms: so many simulated machines are commissioned and deployed at once. Run: make bench, or storm.py COUNT...

All of it in one: the controller with its own DHCP and TFTP where this is root's, else without; machines turned on by HTTP.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass

from measured import Peak, cpu_seconds

from metalwright.sim import cabling
from metalwright.sim.cabling import Cabling
from metalwright.sim.fleet import Fleet, Where
from metalwright.sim.throwaway import IMAGE, Throwaway
from metalwright.sim.wishes import Wishes

SIZES = (100, 1_000)
LIMITS = "[limits]\ninstalls = 500\nworkers = 16\ncalls_per_bmc = 16\n[power]\npoll_seconds = 0\n"
PATIENCE = 7200.0


@dataclass(frozen=True)
class Storm:
    """Seconds; ``cpu`` is the controller's, of all its processes, for one machine's commissioning and deployment."""

    machines: int
    deployed: int
    wall: float
    cpu: float
    peak_mib: float
    script_p50: float
    script_p99: float
    simulator_cpu: float


def storm(count: int, *, network: bool) -> Storm:
    """One storm with a controller of its own. This process moves into a network namespace if there is to be a network."""
    cable = Cabling() if network else None
    controller = Throwaway(cable, LIMITS)
    try:
        controller.start()
        assert controller.pid is not None
        relay = (cabling.RELAY, cabling.CONTROLLER) if cable else None
        bmcs = cabling.ROUTER if cable else "127.0.0.1"
        where = Where(controller.access, controller.node_url, IMAGE, relay, bmcs, subnet=cabling.SUBNET)
        before = cpu_seconds(controller.pid)
        with Peak(controller.pid) as peak:
            report = asyncio.run(Fleet(Wishes(count=count), where).run(patience=PATIENCE, keep=True))
        used = cpu_seconds(controller.pid) - before
        script = next(phase for phase in report.tally.phases() if phase.name == "boot script")
        assert report.well, report.as_dict()
        return Storm(
            *(count, report.deployed, report.seconds, used / count, peak.bytes / (1 << 20)),
            *(script.p50, script.p99, report.cpu_seconds / count),
        )
    finally:
        controller.close()
        if cable is not None:
            cable.close()


def table(storms: list[Storm]) -> list[str]:
    """Lines of Markdown."""
    first = storms[0]
    lines = [
        "| machines | deployed | wall | a minute | controller CPU each | of the first | peak memory | boot script p50, p99 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in storms:
        rate = each.machines / each.wall * 60
        lines.append(
            f"| {each.machines:,} | {each.deployed:,} | {each.wall:.0f} s | {rate:.0f} | {each.cpu * 1000:.0f} ms "
            f"| {each.cpu / first.cpu:.2f} | {each.peak_mib:.0f} MiB | {each.script_p50:.2f} s, {each.script_p99:.2f} s |"
        )
    return lines


def run(sizes: tuple[int, ...] = SIZES) -> list[Storm]:
    """Each storm in a process of its own, for each moves into a namespace of its own."""
    storms = []
    for count in sizes:
        done = subprocess.run([sys.executable, __file__, "--one", str(count)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        storms.append(Storm(**json.loads(done.stdout)))
        print(table(storms)[-1], file=sys.stderr, flush=True)
    return storms


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(asdict(storm(int(sys.argv[2]), network=os.geteuid() == 0))))
    else:
        print("\n".join(table(run(tuple(map(int, sys.argv[1:])) or SIZES))))
