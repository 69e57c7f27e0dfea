# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright subnet``: the networks that machines boot on."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import bounds, confirm, given_only, json_option, yes_option
from metalwright.cli.output import details, emit_json, local_time, table, told

KINDS = ("dynamic", "static", "reserved")


@click.group()
def subnet() -> None:
    """Networks that machines boot on."""


@subnet.command("list")
@json_option
def list_subnets(as_json: bool) -> None:
    """List subnets."""
    found = list(connect().items("subnets"))
    if as_json:
        emit_json(found)
        return
    table(
        (
            ("NAME", lambda s: s["name"]),
            ("NETWORK", lambda s: s["cidr"]),
            ("VLAN", lambda s: s["vlan"]),
            ("GATEWAY", lambda s: s["gateway"]),
            ("DYNAMIC", lambda s: _ranges(s, "dynamic")),
            ("STATIC", lambda s: _ranges(s, "static")),
            ("DHCP", lambda s: s["dhcp"]),
            ("ENLIST", lambda s: s["enlist"]),
            ("DOMAIN", lambda s: s["domain"]),
        ),
        found,
        "There are no subnets. 'metalwright subnet add' adds one.",
    )


@subnet.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a subnet."""
    found = connect().get("subnets", name)
    if as_json:
        emit_json(found)
        return
    shown = {key: value for key, value in found.items() if key not in ("id", "ranges", "created_at")}
    ranges = [f"{each['kind']} {each['start']}-{each['end']} {each['comment']}".rstrip() for each in found["ranges"]]
    details({**shown, "ranges": "\n".join(ranges), "created": local_time(found["created_at"])})


def _subnet_options(command: Any) -> Any:
    for option in (
        click.option("--gateway", help="Router's address."),
        click.option("--dns-server", "dns_servers", multiple=True, help="Name server; may be given several times."),
        click.option("--ntp-server", "ntp_servers", multiple=True, help="Time server; may be given several times."),
        click.option("--search", multiple=True, help="Domain in which short names are looked for; may be given several times."),
        click.option("--domain", help="Domain of the machines on it."),
        click.option("--dhcp/--no-dhcp", default=None, help="Answer DHCP there."),
        click.option("--enlist/--no-enlist", default=None, help="Let unknown machines report themselves."),
        click.option("--relay", "relays", multiple=True, help="Relay agent that has no address there; several times."),
        click.option("--vlan", help="VLAN that it is on."),
    ):
        command = option(command)
    return command


@subnet.command()
@click.argument("name")
@click.argument("cidr")
@_subnet_options
@click.option("--dynamic", metavar="FIRST-LAST", multiple=True, help="Addresses for machines that boot.")
@click.option("--static", metavar="FIRST-LAST", multiple=True, help="Addresses for machines that are deployed.")
@click.option("--reserved", metavar="FIRST-LAST", multiple=True, help="Addresses that nobody gets by itself.")
@json_option
def add(name: str, cidr: str, as_json: bool, **given: Any) -> None:
    """Add a subnet, for example: metalwright subnet add rack1 10.0.0.0/24 --dynamic 10.0.0.100-10.0.0.199"""
    ranges = [(kind, bounds(text, f"--{kind}")) for kind in KINDS for text in given.pop(kind)]
    body = given_only({"name": name, "cidr": cidr, **given})
    body["ranges"] = [{"kind": kind, "start": start, "end": end} for kind, (start, end) in ranges]
    told(connect().post("subnets", body=body), name, as_json=as_json, added=True)


@subnet.command()
@click.argument("name")
@click.option("--rename", "name_", metavar="NEW", help="Give it another name.")
@click.option("--cidr", help="Give it another network.")
@_subnet_options
@json_option
def edit(name: str, name_: str | None, as_json: bool, **given: Any) -> None:
    """Change a subnet; what is not named stays. 'metalwright range' changes its ranges."""
    answer = connect().patch("subnets", name, body=given_only({"name": name_, **given}))
    told(answer, answer["name"], as_json=as_json)


@subnet.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a subnet, its ranges and its DHCP options."""
    confirm(f"Delete subnet {name}?", yes=yes)
    connect().delete("subnets", name)
    click.echo(f"{name}: deleted")


def _ranges(found: dict[str, Any], kind: str) -> list[str]:
    return [f"{each['start']}-{each['end']}" for each in found["ranges"] if each["kind"] == kind]
