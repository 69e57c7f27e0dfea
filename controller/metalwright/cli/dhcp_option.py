# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright dhcp-option``: what DHCP tells beside what follows by itself."""

from __future__ import annotations

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, given_only, json_option, yes_option
from metalwright.cli.output import emit_json, table, told

OWNERS = ("subnet", "machine", "reservation")


@click.group("dhcp-option")
def dhcp_option() -> None:
    """What DHCP tells the clients of a subnet, one machine or one reservation beside what follows by itself."""


@dhcp_option.command("list")
@click.option("--subnet", multiple=True, help="Those of this subnet only; may be given several times.")
@click.option("--machine", multiple=True, help="Those of this machine only; may be given several times.")
@click.option("--reservation", multiple=True, metavar="ADDRESS", help="Those of this reservation only; several times.")
@json_option
def list_options(as_json: bool, **given: tuple[str, ...]) -> None:
    """List DHCP options."""
    found = list(connect().items("dhcp-options", **given))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("ID", lambda o: o["id"]),
        ("OF", lambda o: next(f"{owner} {o[owner]}" for owner in OWNERS if o[owner])),
        ("DHCP", lambda o: f"v{o['family']}"),
        ("NUMBER", lambda o: o["code"]),
        ("OPTION", lambda o: o["name"]),
        ("VALUE", lambda o: o["value"]),
    )
    table(columns, found, "There are no DHCP options. 'metalwright dhcp-option add OPTION VALUE --subnet NAME' adds one.")


@dhcp_option.command()
@click.argument("option")
@click.argument("value")
@click.option("--subnet", help="Subnet whose clients get it.")
@click.option("--machine", help="Machine that gets it.")
@click.option("--reservation", metavar="ADDRESS", help="Reservation whose card gets it.")
@click.option("--family", type=click.Choice(["4", "6"]), help="DHCPv4 or DHCPv6.  [default: the subnet's; 4 of a machine]")
@json_option
def add(option: str, value: str, family: str | None, as_json: bool, **owner: str | None) -> None:
    """Add an option, by its number or name: metalwright dhcp-option add log-servers 10.0.0.4 --subnet rack1"""
    body = given_only({"option": option, "value": value, "family": int(family) if family else None, **owner})
    answer = connect().post("dhcp-options", body=body)
    told(answer, answer["id"], as_json=as_json, added=True)


@dhcp_option.command()
@click.argument("option_id", metavar="ID")
@click.argument("value")
@json_option
def edit(option_id: str, value: str, as_json: bool) -> None:
    """Change the value of an option."""
    told(connect().patch("dhcp-options", option_id, body={"value": value}), option_id, as_json=as_json)


@dhcp_option.command()
@click.argument("option_id", metavar="ID")
@yes_option
def delete(option_id: str, yes: bool) -> None:
    """Delete an option."""
    confirm(f"Delete DHCP option {option_id}?", yes=yes)
    connect().delete("dhcp-options", option_id)
    click.echo(f"{option_id}: deleted")
