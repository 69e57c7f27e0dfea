# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright range``: what the addresses of subnets are for."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import bounds, confirm, given_only, json_option, yes_option
from metalwright.cli.output import emit_json, table, told
from metalwright.cli.subnet import KINDS

_kind = click.Choice(KINDS)


@click.group("range")
def range_() -> None:
    """What the addresses of subnets are for. A range is named by its first address."""


@range_.command("list")
@click.option("--subnet", multiple=True, help="Those of this subnet only; may be given several times.")
@json_option
def list_ranges(subnet: tuple[str, ...], as_json: bool) -> None:
    """List ranges."""
    found = list(connect().items("ranges", subnet=subnet))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("FIRST", lambda r: r["start"]),
        ("LAST", lambda r: r["end"]),
        ("KIND", lambda r: r["kind"]),
        ("SUBNET", lambda r: r["subnet"]),
        ("COMMENT", lambda r: r["comment"]),
    )
    table(columns, found, "There are no ranges. 'metalwright range add SUBNET KIND FIRST-LAST' adds one.")


@range_.command()
@click.argument("subnet")
@click.argument("kind", type=_kind)
@click.argument("addresses", metavar="FIRST-LAST")
@click.option("--comment", help="What it is for.")
@json_option
def add(subnet: str, kind: str, addresses: str, comment: str | None, as_json: bool) -> None:
    """Add a range to a subnet: metalwright range add rack1 static 10.0.0.10-10.0.0.89"""
    first, last = bounds(addresses, "FIRST-LAST")
    body = given_only({"subnet": subnet, "kind": kind, "start": first, "end": last, "comment": comment})
    answer = connect().post("ranges", body=body)
    told(answer, answer["start"], as_json=as_json, added=True)


@range_.command()
@click.argument("first")
@click.option("--start", help="Its new first address.")
@click.option("--end", help="Its new last address.")
@click.option("--kind", type=_kind, help="What it is for from now on.")
@click.option("--comment", help="What it is for, in words.")
@json_option
def edit(first: str, as_json: bool, **given: Any) -> None:
    """Change the range that begins at FIRST; what is not named stays."""
    answer = connect().patch("ranges", first, body=given_only(given))
    told(answer, answer["start"], as_json=as_json)


@range_.command()
@click.argument("first")
@yes_option
def delete(first: str, yes: bool) -> None:
    """Delete the range that begins at FIRST."""
    confirm(f"Delete the range that begins at {first}?", yes=yes)
    connect().delete("ranges", first)
    click.echo(f"{first}: deleted")
