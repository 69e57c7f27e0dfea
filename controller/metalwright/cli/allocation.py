# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright allocation``: named claims on machines."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, json_option, yes_option
from metalwright.cli.output import details, emit_json, table


@click.group()
def allocation() -> None:
    """Named claims on machines that fit."""


@allocation.command("list")
@json_option
def list_allocations(as_json: bool) -> None:
    """List allocations."""
    found = list(connect().items("allocations"))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("NAME", lambda a: a["name"]),
        ("COUNT", lambda a: a["count"]),
        ("MACHINES", _names),
        ("CONSTRAINTS", _constraints),
    )
    table(columns, found, "There are no allocations. 'metalwright allocation set NAME --count 1' makes one.")


@allocation.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show an allocation."""
    found = connect().get("allocations", name)
    if as_json:
        emit_json(found)
        return
    machines = "\n".join(_names(found))
    details({"name": found["name"], "count": found["count"], "constraints": _constraints(found), "machines": machines})


@allocation.command("set")
@click.argument("name")
@click.option("--count", type=click.IntRange(min=0), default=1, show_default=True, help="How many machines.")
@click.option("--machine", "exactly", metavar="MACHINE", help="Exactly this machine.")
@click.option("--min-cpus", type=int, help="At least so many processors.")
@click.option("--min-memory", help="At least so much memory, for example 16GiB.")
@click.option("--min-disk", help="At least one disk of so much, for example 100GiB.")
@click.option("--arch", help="Of this architecture.")
@click.option("--tag", "tags", multiple=True, help="With this tag; may be given several times.")
@click.option("--not-tag", "not_tags", multiple=True, help="Without this tag; may be given several times.")
@click.option("--pool", help="Of this pool.")
@click.option("--zone", help="Of this zone.")
@click.option("--hardware", metavar="CONDITION", help="With such hardware, for example: 'nic.vendor ~ Mellanox'.")
@json_option
def set_allocation(name: str, count: int, exactly: str | None, as_json: bool, **given: Any) -> None:
    """Claim machines under a NAME. Asking again changes nothing; another count adds machines or gives some back."""
    constraints = {
        key: list(value) if isinstance(value, tuple) else value for key, value in given.items() if value not in (None, ())
    }
    if exactly:
        constraints["name"] = exactly
    answer = connect().put("allocations", name, body={"count": count, "constraints": constraints})
    if as_json:
        emit_json(answer)
        return
    news = [f"{label} {', '.join(answer[label])}" for label in ("added", "removed") if answer.get(label)]
    click.echo(f"{name}: {'; '.join(news) if news else 'unchanged'}")


@allocation.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Give all machines of an allocation back."""
    confirm(f"Give back all machines of {name}?", yes=yes)
    connect().delete("allocations", name)
    click.echo(f"{name}: deleted")


def _names(found: dict[str, Any]) -> list[str]:
    return [each if isinstance(each, str) else str(each["name"]) for each in found.get("machines", [])]


def _constraints(found: dict[str, Any]) -> str:
    shown = ((key, ",".join(value) if isinstance(value, list) else value) for key, value in found["constraints"].items())
    return " ".join(f"{key}={value}" for key, value in shown if value not in (None, ""))
