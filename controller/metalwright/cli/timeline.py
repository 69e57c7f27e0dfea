# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright timeline``: where the time of an operation went."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import click

from metalwright.cli.client import connect
from metalwright.cli.options import json_option
from metalwright.cli.output import emit_json, local_time

_WIDTH = 40


@click.command()
@click.argument("machine")
@click.option("--operation", metavar="ID", help="Of this operation; without it, of the last that is no power call.")
@json_option
def timeline(machine: str, operation: str | None, as_json: bool) -> None:
    """Show every step of an operation of MACHINE, how long it took, and where it stands still."""
    found = connect().get("machines", machine, "timeline", operation=operation)
    if as_json:
        emit_json(found)
        return
    told, steps, total = found["operation"], found["steps"], float(found["total_seconds"])
    click.echo(f"{click.style(found['machine'], bold=True)}  {told['kind']} {told['state']}  {told['id']}")
    if steps:
        click.echo(f"began {local_time(steps[0]['started_at'])}\n")
    labels = [str(step["label"]) for step in steps]
    width = max((len(label) for label in [*labels, "total"]), default=0)
    passed = 0.0
    for step, label, length in zip(steps, labels, tenths([step["seconds"] for step in steps]), strict=True):
        shown = bar(passed, step["seconds"], total)
        click.echo(f"{label.ljust(width)}  {length:9.1f} s  {shown}  {step['detail'] or ''}".rstrip())
        passed += step["seconds"]
    click.echo(f"{'total'.ljust(width)}  {click.style(f'{total:9.1f} s', bold=True)}")
    if found["stuck"]:
        click.echo(f"\n{click.style('stuck:', fg='yellow')} last seen: {found['stuck']['last_seen']}")
        click.echo(f"{click.style('hint:', fg='cyan')} {found['stuck']['hint']}")


def tenths(lengths: Sequence[float]) -> list[float]:
    """Round lengths to tenths so that what is shown adds up to the rounded whole: it is the moments that are rounded."""
    moments = [round(sum(lengths[:count]), 1) for count in range(len(lengths) + 1)]
    return [round(after - before, 1) for before, after in itertools.pairwise(moments)]


def bar(before: float, length: float, total: float, width: int = _WIDTH) -> str:
    """A piece of a waterfall: blank for what went before, at least one mark for what is there."""
    if total <= 0:
        return ""
    start = min(int(before / total * width), width - 1)
    end = max(round((before + length) / total * width), start + 1)
    return " " * start + "#" * (end - start) + " " * (width - end)
