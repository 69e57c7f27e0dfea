# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright record``: DNS records."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, given_only, json_option, yes_option
from metalwright.cli.output import emit_json, table, told


@click.group()
def record() -> None:
    """DNS records of the domains that are held here."""


@record.command("list")
@click.option("--domain", multiple=True, help="Those of this domain only; may be given several times.")
@click.option("--name", multiple=True, help="Those of this name only; may be given several times.")
@click.option("--type", "type_", multiple=True, help="Those of this type only; may be given several times.")
@json_option
def list_records(domain: tuple[str, ...], name: tuple[str, ...], type_: tuple[str, ...], as_json: bool) -> None:
    """List records. Names of machines and reservations are there by themselves and not among them."""
    found = list(connect().items("records", domain=domain, name=name, type=type_))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("ID", lambda r: r["id"]),
        ("DOMAIN", lambda r: r["domain"]),
        ("NAME", lambda r: r["name"]),
        ("TYPE", lambda r: r["type"]),
        ("DATA", lambda r: r["data"]),
        ("TTL", lambda r: r["ttl"]),
    )
    table(columns, found, "There are no records. 'metalwright record add DOMAIN NAME TYPE DATA' adds one.")


@record.command()
@click.argument("domain")
@click.argument("name")
@click.argument("type_", metavar="TYPE")
@click.argument("data", nargs=-1, required=True)
@click.option("--ttl", type=int, help="Seconds an answer may be kept.")
@json_option
def add(domain: str, name: str, type_: str, data: tuple[str, ...], ttl: int | None, as_json: bool) -> None:
    """Add a record: metalwright record add lab.example.com @ MX 10 mail"""
    body = given_only({"domain": domain, "name": name, "type": type_, "data": " ".join(data), "ttl": ttl})
    answer = connect().post("records", body=body)
    told(answer, answer["id"], as_json=as_json, added=True)


@record.command()
@click.argument("record_id", metavar="ID")
@click.option("--name", help="Give it another name.")
@click.option("--data", help="Let it say something else.")
@click.option("--ttl", type=int, help="Seconds an answer may be kept.")
@json_option
def edit(record_id: str, as_json: bool, **given: Any) -> None:
    """Change a record; what is not named stays."""
    told(connect().patch("records", record_id, body=given_only(given)), record_id, as_json=as_json)


@record.command()
@click.argument("record_id", metavar="ID")
@yes_option
def delete(record_id: str, yes: bool) -> None:
    """Delete a record."""
    confirm(f"Delete record {record_id}?", yes=yes)
    connect().delete("records", record_id)
    click.echo(f"{record_id}: deleted")
