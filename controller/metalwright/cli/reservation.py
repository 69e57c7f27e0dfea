# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright reservation``: addresses that are kept for a network card."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, given_only, json_option, yes_option
from metalwright.cli.output import emit_json, table, told


@click.group()
def reservation() -> None:
    """Addresses that are kept for a network card."""


@reservation.command("list")
@click.option("--subnet", multiple=True, help="Those of this subnet only; may be given several times.")
@json_option
def list_reservations(subnet: tuple[str, ...], as_json: bool) -> None:
    """List reservations."""
    found = list(connect().items("reservations", subnet=subnet))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("ADDRESS", lambda r: r["address"]),
        ("MAC", lambda r: r["mac"]),
        ("NAME", lambda r: r["name"]),
        ("DOMAIN", lambda r: r["domain"]),
        ("SUBNET", lambda r: r["subnet"]),
        ("COMMENT", lambda r: r["comment"]),
    )
    table(columns, found, "There are no reservations. 'metalwright reservation add MAC ADDRESS' adds one.")


def _reservation_options(command: Any) -> Any:
    for option in (
        click.option("--name", help="Its name, one label. Empty: it has none."),
        click.option("--domain", help="Domain of its name. Empty: that of the subnet."),
        click.option("--comment", help="What it is for."),
    ):
        command = option(command)
    return command


@reservation.command()
@click.argument("mac")
@click.argument("address")
@_reservation_options
@json_option
def add(mac: str, address: str, as_json: bool, **given: Any) -> None:
    """Keep an address for the card MAC."""
    answer = connect().post("reservations", body=given_only({"mac": mac, "address": address, **given}))
    told(answer, answer["address"], as_json=as_json, added=True)


@reservation.command()
@click.argument("address")
@click.option("--mac", help="Keep it for another card.")
@click.option("--address", "address_", metavar="NEW", help="Keep another address.")
@_reservation_options
@json_option
def edit(address: str, address_: str | None, as_json: bool, **given: Any) -> None:
    """Change the reservation of ADDRESS; what is not named stays."""
    answer = connect().patch("reservations", address, body=given_only({"address": address_, **given}))
    told(answer, answer["address"], as_json=as_json)


@reservation.command()
@click.argument("address")
@yes_option
def delete(address: str, yes: bool) -> None:
    """Delete the reservation of ADDRESS."""
    confirm(f"Delete the reservation of {address}?", yes=yes)
    connect().delete("reservations", address)
    click.echo(f"{address}: deleted")
