# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright operation console``: what the machine printed during an operation."""

from __future__ import annotations

import click

from metalwright.cli.client import connect
from metalwright.cli.options import json_option
from metalwright.cli.output import emit_json, local_time


@click.command()
@click.argument("operation_id", metavar="ID")
@click.option("--source", type=click.Choice(["agent", "first-boot", "playbook"]), help="Only what this one printed.")
@json_option
def console(operation_id: str, source: str | None, as_json: bool) -> None:
    """Show the end of what the machine printed: the agent's console, cloud-init's output of the first boot, the playbook."""
    found = connect().get("operations", operation_id, "console")
    sources = [each for each in found["sources"] if source in (None, each["source"])]
    if as_json:
        emit_json({**found, "sources": sources})
        return
    if not sources:
        click.echo("Nothing was heard.", err=True)
    for each in sources:
        click.echo(click.style(f"--- {each['source']}, until {local_time(each['updated_at'])}", bold=True), err=True)
        click.echo(each["text"].rstrip("\n"))
