# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright event``: the event log."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import json_option
from metalwright.cli.output import emit_json, local_time

_WAIT_SECONDS = 25
_PAGE = 1000


def _filters(command: Any) -> Any:
    for option in (
        click.option("--machine", help="Only events of this machine."),
        click.option("--operation", help="Only events of this operation."),
        click.option("--kind", help="Only events of this kind, for example machine.created."),
        click.option("--after", type=int, help="Only events after this number."),
    ):
        command = option(command)
    return command


@click.group()
def event() -> None:
    """The event log."""


@event.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, _PAGE), default=100, show_default=True, help="At most so many.")
@json_option
def list_events(as_json: bool, **given: Any) -> None:
    """List events, the oldest first."""
    found = connect().get("events", **given)["events"]
    if as_json:
        emit_json(found)
        return
    for each in found:
        click.echo(line(each))


@event.command()
@_filters
@json_option
def follow(as_json: bool, after: int | None, **filters: Any) -> None:
    """Print events as they happen until interrupted; with --json one object a line."""
    client = connect()
    cursor: int | str = "latest" if after is None else after
    while True:
        page = client.get("events", after=cursor, wait=_WAIT_SECONDS, limit=_PAGE, **filters)
        cursor = page["cursor"]
        for each in page["events"]:
            click.echo(_compact(each) if as_json else line(each))


def line(each: dict[str, Any]) -> str:
    """One event for people: time, kind, message."""
    moment = click.style(local_time(each["at"]), dim=True)
    return f"{moment}  {click.style(each['kind'].ljust(20), fg='cyan')}  {each['message']}"


def _compact(each: dict[str, Any]) -> str:
    import json

    return json.dumps(each, ensure_ascii=False)
