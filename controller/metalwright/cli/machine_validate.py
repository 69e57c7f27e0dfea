# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright machine validate``: what is wrong with power parameters, before anything is tried."""

from __future__ import annotations

import click

from metalwright.cli.client import connect
from metalwright.cli.options import json_option
from metalwright.cli.output import emit_json


def add_to(machine: click.Group) -> None:
    """Put the command into the group of machines."""
    machine.add_command(validate)


@click.command()
@click.argument("names", nargs=-1, required=True)
@json_option
@click.pass_context
def validate(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Say what is wrong with machines' power parameters: complete, address known, BMC there, login accepted.

    Nothing is changed. The exit code is 1 if anything is wrong.
    """
    client = connect()
    verdicts = [{"machine": name, **client.post("machines", name, "validate")} for name in names]
    if as_json:
        emit_json(verdicts[0] if len(verdicts) == 1 else verdicts)
    else:
        for verdict in verdicts:
            state = f", power is {verdict['state']}" if verdict["ok"] else ""
            click.echo(f"{verdict['machine']}: {verdict['driver']}: {'ok' if verdict['ok'] else 'not ok'}{state}")
            for problem in verdict["problems"]:
                click.echo(f"  {problem['code']}: {problem['message']}")
                click.echo(f"    hint: {problem['hint']}")
    if not all(verdict["ok"] for verdict in verdicts):
        ctx.exit(1)
