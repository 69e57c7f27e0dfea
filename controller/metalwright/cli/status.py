# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright status``: how the controller and its machines are."""

from __future__ import annotations

import os

import click

from metalwright.cli.client import connect, find_access
from metalwright.cli.options import json_option
from metalwright.cli.output import details, emit_json, local_time

_LATE_SECONDS = 10


@click.command()
@json_option
def status(as_json: bool) -> None:
    """How the controller and its machines are."""
    found = connect().get("status")
    if as_json:
        emit_json(found)
        return
    details(
        {
            "controller": find_access(os.environ).url,
            "version": found["version"],
            "database": f"{found['database']}, schema {found['schema_revision']}",
            "time": local_time(found["time"]),
            "machines": _counts(found["machines"]),
            "operations": _counts(found["operations"]),
            "tasks": _counts(found["tasks"]),
            "images": _counts(found["images"]),
            "subnets": str(found["subnets"]),
        }
    )
    late = found["oldest_task_seconds"]
    if late is not None and late > _LATE_SECONDS:
        click.echo(f"{click.style('warning:', fg='yellow')} a task waits for {late:.0f} s: no worker takes it up.", err=True)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"
