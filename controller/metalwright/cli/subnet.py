# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright subnet``: the networks that machines boot on."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, json_option, yes_option
from metalwright.cli.output import emit_json, table
from metalwright.errors import Invalid


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
            ("GATEWAY", lambda s: s["gateway"]),
            ("DYNAMIC", lambda s: _range(s, "dynamic")),
            ("STATIC", lambda s: _range(s, "static")),
            ("DHCP", lambda s: s["dhcp"]),
            ("ENLIST", lambda s: s["enlist"]),
            ("DOMAIN", lambda s: s["domain"]),
        ),
        found,
        "There are no subnets. 'metalwright subnet add' adds one.",
    )


def _subnet_options(command: Any) -> Any:
    for option in (
        click.option("--gateway", help="Router's address."),
        click.option("--dns-server", "dns_servers", multiple=True, help="Name server; may be given several times."),
        click.option("--domain", help="Domain of the machines on it."),
        click.option("--dhcp/--no-dhcp", default=None, help="Answer DHCP there."),
        click.option("--enlist/--no-enlist", default=None, help="Let unknown machines report themselves."),
        click.option("--dynamic", metavar="FIRST-LAST", help="Addresses for machines that boot."),
        click.option("--static", metavar="FIRST-LAST", help="Addresses for machines that are deployed."),
    ):
        command = option(command)
    return command


@subnet.command()
@click.argument("name")
@click.argument("cidr")
@_subnet_options
@json_option
def add(name: str, cidr: str, as_json: bool, **given: Any) -> None:
    """Add a subnet, for example: metalwright subnet add rack1 10.0.0.0/24 --dynamic 10.0.0.100-10.0.0.199"""
    _told(connect().post("subnets", body={"name": name, "cidr": cidr, **_body(given)}), "added", as_json=as_json)


@subnet.command()
@click.argument("name")
@click.option("--rename", metavar="NEW", help="Give it another name.")
@_subnet_options
@json_option
def edit(name: str, rename: str | None, as_json: bool, **given: Any) -> None:
    """Change a subnet; what is not named stays."""
    body = _body(given) | ({"name": rename} if rename else {})
    if not body:
        raise Invalid("nothing_to_change", "Nothing to change was named.", "'metalwright subnet edit --help' lists the options.")
    _told(connect().patch("subnets", name, body=body), "changed", as_json=as_json)


@subnet.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a subnet."""
    confirm(f"Delete subnet {name}?", yes=yes)
    connect().delete("subnets", name)
    click.echo(f"{name}: deleted")


def _range(found: dict[str, Any], which: str) -> str | None:
    first, last = found[f"{which}_start"], found[f"{which}_end"]
    return f"{first}-{last}" if first else None


def _body(given: dict[str, Any]) -> dict[str, Any]:
    body = {key: given[key] for key in ("gateway", "domain", "dhcp", "enlist") if given[key] is not None}
    if given["dns_servers"]:
        body["dns_servers"] = list(given["dns_servers"])
    for which in ("dynamic", "static"):
        if given[which]:
            first, dash, last = given[which].partition("-")
            if not dash:
                raise click.BadParameter(f"{given[which]!r} is not FIRST-LAST.", param_hint=f"--{which}")
            body |= {f"{which}_start": first.strip(), f"{which}_end": last.strip()}
    return body


def _told(changed: dict[str, Any], what: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(changed)
    else:
        click.echo(f"{changed['name']}: {what}")
