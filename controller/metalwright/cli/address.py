# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright address``: who has which address."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import json_option
from metalwright.cli.output import emit_json, local_time, table


@click.group()
def address() -> None:
    """Who has which address."""


@address.command("list")
@click.option("--subnet", multiple=True, help="Those of this subnet only; may be given several times.")
@click.option("--machine", multiple=True, help="Those of this machine only; may be given several times.")
@click.option("--mac", multiple=True, help="Those of this network card only; may be given several times.")
@click.option("--source", multiple=True, type=click.Choice(["machine", "reservation", "dhcp"]), help="Those from there only.")
@json_option
def list_addresses(as_json: bool, **given: tuple[str, ...]) -> None:
    """List the addresses that somebody has: a machine, a reservation, or a client of DHCP."""
    found = list(connect().items("addresses", **given))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("ADDRESS", lambda a: a["address"]),
        ("FROM", lambda a: a["source"]),
        ("MACHINE", lambda a: a["machine"]),
        ("MAC", lambda a: a["mac"]),
        ("HOST NAME", lambda a: a["name"]),
        ("SUBNET", lambda a: a["subnet"]),
        ("SINCE", lambda a: a["since"] and local_time(a["since"])),
        ("LEASE UNTIL", _until),
    )
    table(columns, found, "Nobody has an address.")


def _until(found: dict[str, Any]) -> str | None:
    lease = found["lease"]
    if lease is None:
        return None
    return local_time(lease["until"]) if lease["until"] else "for good"
