# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright domain``: domains that are held here, or asked elsewhere."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, given_only, json_option, yes_option
from metalwright.cli.output import emit_json, table, told


@click.group()
def domain() -> None:
    """Domains: held here, or asked elsewhere."""


@domain.command("list")
@json_option
def list_domains(as_json: bool) -> None:
    """List domains. Reverse zones of the subnets are there by themselves."""
    found = list(connect().items("domains"))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("NAME", lambda d: d["name"]),
        ("ASKED AT", lambda d: d["forward_to"]),
        ("RECORDS", lambda d: d["records"]),
        ("TTL", lambda d: d["ttl"]),
        ("DEFAULT", lambda d: d["default"]),
        ("DESCRIPTION", lambda d: d["description"]),
    )
    table(columns, found, "There are no domains. 'metalwright domain add NAME' adds one.")


def _domain_options(command: Any) -> Any:
    for option in (
        click.option("--forward-to", multiple=True, metavar="ADDRESS", help="Ask there; may be given several times."),
        click.option("--ttl", type=int, help="Seconds an answer may be kept."),
        click.option("--description", help="What it is for."),
    ):
        command = option(command)
    return command


@domain.command()
@click.argument("name")
@_domain_options
@json_option
def add(name: str, as_json: bool, **given: Any) -> None:
    """Add a domain."""
    answer = connect().post("domains", body=given_only({"name": name, **given}))
    told(answer, answer["name"], as_json=as_json, added=True)


@domain.command()
@click.argument("name")
@_domain_options
@json_option
def edit(name: str, as_json: bool, **given: Any) -> None:
    """Change a domain; what is not named stays."""
    answer = connect().patch("domains", name, body=given_only(given))
    told(answer, answer["name"], as_json=as_json)


@domain.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a domain that has no records and that nothing needs."""
    confirm(f"Delete domain {name}?", yes=yes)
    connect().delete("domains", name)
    click.echo(f"{name}: deleted")
