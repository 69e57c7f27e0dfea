# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright chassis``: all machines behind one address."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import dry_run_option, json_option, key_values
from metalwright.cli.output import emit_json, table


@click.group()
def chassis() -> None:
    """All machines behind one address: a libvirt host, a Redfish service with many systems."""


@chassis.command()
@click.argument("driver")
@click.option(
    "--power",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter of the driver, for example address=https://10.0.0.7; KEY=@FILE reads the value from a file.",
)
@click.option("--name", "name_filter", metavar="PATTERN", help="Only machines of such names there, for example 'rack1-*'.")
@click.option("--pool", help="Pool of the new machines.")
@click.option("--zone", help="Zone of the new machines.")
@click.option("--tag", "tags", multiple=True, help="Tag of the new machines; may be given several times.")
@dry_run_option
@json_option
def add(driver: str, power: tuple[str, ...], tags: tuple[str, ...], dry_run: str | None, as_json: bool, **given: Any) -> None:
    """Add the machines there that are new; DRIVER is libvirt or redfish.

    For example: metalwright chassis add libvirt --power uri=qemu+ssh://host/system --name 'node-*'
    """
    body = {"driver": driver, "parameters": key_values(power, "--power"), "tags": list(tags)}
    body |= {name: value for name, value in given.items() if value}
    answer = connect().post("chassis", body=body, dry_run=dry_run)
    if as_json:
        emit_json(answer)
        return
    columns = (
        ("NAME", lambda each: each["name"]),
        ("OUTCOME", lambda each: f"would be {each['outcome']}" if dry_run else each["outcome"]),
        ("MACHINE", lambda each: each["machine"]),
        ("MACS", lambda each: each["macs"]),
        ("REASON", lambda each: each["reason"]),
    )
    table(columns, answer["items"], "There are no machines at that address.")
