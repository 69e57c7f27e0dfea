# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run is shown: bars while it is under way on a terminal, and a table at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console
from rich.table import Table

from metalwright.cli.output import console
from metalwright.sim.fleet import Fleet, Report, Show

_ORDER = ("off", "firmware", "loader", "kernel", "agent", "first boot", "installed", "idle", "dead")


@contextmanager
def shown() -> Iterator[Show | None]:
    """Give what draws bars on standard error; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        bars.TextColumn("{task.description}", style="bold"),
        bars.BarColumn(bar_width=30),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.fields[states]}", style="cyan"),
    )
    with bars.Progress(*columns, console=console(errors=True), transient=True) as display:
        added = display.add_task("added", total=None, states="")
        deployed = display.add_task("deployed", total=None, states="")

        def show(fleet: Fleet) -> None:
            states = fleet.states()
            told = ", ".join(f"{states[state]} {state}" for state in _ORDER if states[state])
            total = fleet.wishes.count
            display.update(added, total=total, completed=fleet.added)
            display.update(deployed, total=total, completed=len(fleet.operator.ended), states=told)

        yield show


def summary(report: Report) -> None:
    """Print the tables."""
    out = console()
    count = report.count
    states = ", ".join(f"{number} {state}" for state, number in sorted(count.machines.items()))
    out.print(f"{report.deployed} of {report.wishes.count} machines deployed in {report.seconds:.1f} s; now {states}")
    for code, number in sorted(count.failures.items()):
        out.print(f"  {number} failed: {code}")
    if count.operations or count.tasks:
        out.print(f"  still under way: operations {count.operations}, tasks {count.tasks}")
    _table(out, report)
    happened = ", ".join(f"{name} {number}" for name, number in sorted(report.tally.events.items()))
    out.print(f"{happened}; {report.tally.bytes / 1e6:.0f} MB received; seed {report.wishes.seed}")


def _table(out: Console, report: Report) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("WHAT")
    for heading in ("COUNT", "P50", "P99", "LONGEST"):
        table.add_column(heading, justify="right")
    for phase in report.tally.phases():
        table.add_row(phase.name, str(phase.count), *(f"{value:.3f} s" for value in (phase.p50, phase.p99, phase.longest)))
    out.print(table)
