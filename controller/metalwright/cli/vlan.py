# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright vlan``: tagged networks of layer 2."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, given_only, json_option, yes_option
from metalwright.cli.output import emit_json, table, told


@click.group()
def vlan() -> None:
    """Tagged networks of layer 2."""


@vlan.command("list")
@json_option
def list_vlans(as_json: bool) -> None:
    """List VLANs."""
    found = list(connect().items("vlans"))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("NAME", lambda v: v["name"]),
        ("NUMBER", lambda v: v["vid"]),
        ("MTU", lambda v: v["mtu"]),
        ("SUBNETS", lambda v: v["subnets"]),
        ("DESCRIPTION", lambda v: v["description"]),
    )
    table(columns, found, "There are no VLANs. 'metalwright vlan add NAME NUMBER' adds one.")


def _vlan_options(command: Any) -> Any:
    for option in (
        click.option("--mtu", type=int, help="Bytes of the largest packet."),
        click.option("--description", help="What it is for."),
        click.option("--rack", help="The rack that has it."),
    ):
        command = option(command)
    return command


@vlan.command()
@click.argument("name")
@click.argument("number", type=int)
@_vlan_options
@json_option
def add(name: str, number: int, as_json: bool, **given: Any) -> None:
    """Add the VLAN of a number, 1 to 4094."""
    body = given_only({"name": name, "vid": number, **given})
    told(connect().post("vlans", body=body), name, as_json=as_json, added=True)


@vlan.command()
@click.argument("name")
@click.option("--rename", "name_", metavar="NEW", help="Give it another name.")
@click.option("--number", "vid", type=int, help="Give it another number.")
@_vlan_options
@json_option
def edit(name: str, name_: str | None, as_json: bool, **given: Any) -> None:
    """Change a VLAN; what is not named stays."""
    answer = connect().patch("vlans", name, body=given_only({"name": name_, **given}))
    told(answer, answer["name"], as_json=as_json)


@vlan.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a VLAN that no subnet is on."""
    confirm(f"Delete VLAN {name}?", yes=yes)
    connect().delete("vlans", name)
    click.echo(f"{name}: deleted")
