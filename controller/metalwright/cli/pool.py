# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright pool``: groups of machines and the defaults they share."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, json_option, yes_option
from metalwright.cli.output import emit_json, table


@click.group()
def pool() -> None:
    """Groups of machines and the defaults they share."""


@pool.command("list")
@json_option
def list_pools(as_json: bool) -> None:
    """List pools: those that were set and those that machines are in."""
    found = list(connect().items("pools"))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("NAME", lambda p: p["name"]),
        ("ERASE", lambda p: p["erase"]),
        ("MACHINES", lambda p: sum(p["machines"].values())),
        ("STATES", _states),
        ("DESCRIPTION", lambda p: p["description"]),
    )
    table(columns, found, "There are no pools. 'metalwright pool set NAME' makes one.")


@pool.command("set")
@click.argument("name")
@click.option("--erase", type=click.Choice(["quick", "full", "secure"]), help="How a release erases that does not say.")
@click.option("--description", help="What it is for.")
@json_option
def set_pool(name: str, as_json: bool, **given: str | None) -> None:
    """Make a pool, or change it; what is not named stays."""
    client = connect()
    found = next((each for each in client.items("pools") if each["name"] == name), {})
    body = {key: value if value is not None else found[key] for key, value in given.items() if value is not None or key in found}
    answer = client.put("pools", name, body=body)
    if as_json:
        emit_json(answer)
        return
    click.echo(f"{name}: {'a release erases ' + answer['erase'] if answer['changed'] else 'unchanged'}")


@pool.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Forget a pool and its defaults. No machine may be in it."""
    confirm(f"Delete pool {name}?", yes=yes)
    connect().delete("pools", name)
    click.echo(f"{name}: deleted")


def _states(found: dict[str, Any]) -> list[str]:
    return [f"{count} {state}" for state, count in found["machines"].items()]
