# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright machine network``: interfaces, addresses and routes of a machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import yaml

from metalwright.cli.client import connect
from metalwright.cli.options import dry_run_option, json_option, read_text
from metalwright.cli.output import emit_json, table
from metalwright.errors import Invalid


def add_to(group: click.Group) -> None:
    """Make them subcommands of ``group``."""
    group.add_command(network)


@click.group()
def network() -> None:
    """The network of a machine: interfaces, bonds, VLANs, bridges, addresses, routes."""


@network.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the network of a machine: what is declared as YAML, and the addresses it has."""
    found = connect().get("machines", name, "network")
    if as_json:
        emit_json(found)
        return
    _tell(found)


@network.command("set")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@dry_run_option
@json_option
def set_network(name: str, file: Path, dry_run: str | None, as_json: bool) -> None:
    """Declare the whole network of a machine: FILE is YAML with a list of interfaces, - is standard input."""
    _put(name, {"interfaces": _read(file)}, dry_run, as_json=as_json)


@network.command()
@click.argument("name")
@dry_run_option
@json_option
def reset(name: str, dry_run: str | None, as_json: bool) -> None:
    """Declare nothing: the machine has its boot interface, with an address of its subnet."""
    _put(name, {"interfaces": []}, dry_run, as_json=as_json)


def _put(name: str, body: dict[str, Any], dry_run: str | None, *, as_json: bool) -> None:
    answer = connect().put("machines", name, "network", body=body, dry_run=dry_run)
    if as_json:
        emit_json(answer)
        return
    if dry_run:
        click.echo(f"{name}: {'would change' if answer['changed'] else 'would not change'}")
    else:
        click.echo(f"{name}: {'changed' if answer['changed'] else 'unchanged'}")
    _tell(answer)


def _read(file: Path) -> Any:
    text = sys.stdin.read() if str(file) == "-" else read_text(file)
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid("file_unreadable", f"{file} is not YAML: {error}") from None
    interfaces = said.get("interfaces") if isinstance(said, dict) else said
    if not isinstance(interfaces, list):
        raise Invalid("file_unreadable", f"{file} holds no list of interfaces.", "See docs/how-to/machine-network.md.")
    return interfaces


def _tell(found: dict[str, Any]) -> None:
    if found["interfaces"]:
        click.echo(yaml.safe_dump({"interfaces": found["interfaces"]}, sort_keys=False), nl=False)
        click.echo()
    columns = (
        ("INTERFACE", lambda a: a["interface"]),
        ("ADDRESS", lambda a: a["address"]),
        ("SUBNET", lambda a: a["subnet"]),
        ("MAIN", lambda a: "yes" if a["main"] else None),
    )
    table(columns, found["addresses"], "It has no address yet.")
    if found["pending"]:
        click.echo("What runs was deployed with another network; this one takes effect with the next deployment.")
    if found["problem"]:
        click.echo(f"It does not hold any more: {found['problem']['message']}")
