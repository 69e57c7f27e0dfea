# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright machine``: what there is, adding, editing and deleting. What they are told to do is in ``machine_actions``."""

from __future__ import annotations

import functools
from typing import Any

import click

from metalwright.cli import machine_actions, machine_validate
from metalwright.cli.acting import tell
from metalwright.cli.client import connect
from metalwright.cli.machine_details import address, described, doing, memory, reason
from metalwright.cli.options import dry_run_option, json_option, key_values
from metalwright.cli.output import details, emit_json, table
from metalwright.cli.selection import Selection, for_machines
from metalwright.errors import Invalid


@click.group()
def machine() -> None:
    """Machines: add, commission, test, deploy, release, rescue, power."""


machine_actions.add_to(machine)
machine_validate.add_to(machine)


@machine.command("list")
@click.option("--state", help="Only machines in this state.")
@click.option("--pool", help="Only machines of this pool.")
@click.option("--zone", help="Only machines of this zone.")
@click.option("--tag", help="Only machines with this tag.")
@click.option("--allocation", help="Only machines of this allocation.")
@click.option("--name", help="Only the machine of this name.")
@json_option
def list_machines(as_json: bool, **filters: str | None) -> None:
    """List machines."""
    found = list(connect().items("machines", **filters))
    if as_json:
        emit_json(found)
        return
    table(
        (
            ("NAME", lambda m: m["name"]),
            ("STATE", lambda m: m["state"]),
            ("DOING", doing),
            ("REASON", reason),
            ("POWER", lambda m: m["power"]["state"]),
            ("ADDRESS", address),
            ("IMAGE", lambda m: (m.get("deployed") or {}).get("image")),
            ("CPUS", lambda m: m["cpu_count"]),
            ("MEMORY", memory),
            ("DISK", lambda m: f"{m['disk_gib']} GiB" if m["disk_gib"] else None),
            ("ALLOCATION", lambda m: m["allocation"]),
            ("TAGS", lambda m: m["tags"]),
        ),
        found,
        "No machine fits." if any(filters.values()) else "There are no machines. 'metalwright machine add' adds one.",
    )


@machine.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show everything about a machine."""
    found = connect().get("machines", name)
    if as_json:
        emit_json(found)
        return
    details(described(found))


def _power_options(command: Any) -> Any:
    for option in (
        click.option("--power-driver", help="How its power is switched: ipmi, redfish, libvirt, webhook, wol or manual."),
        click.option(
            "--power",
            multiple=True,
            metavar="KEY=VALUE",
            help="Parameter of the driver, for example address=10.0.0.7; KEY=@FILE reads the value from a file.",
        ),
        click.option("--arch", help="Processor architecture."),
        click.option("--firmware", type=click.Choice(["bios", "uefi"]), help="Firmware; else commissioning finds out."),
        click.option("--pool", help="Pool."),
        click.option("--zone", help="Zone."),
        click.option("--tag", "tags", multiple=True, help="Tag; may be given several times."),
        click.option("--description", help="Words for people."),
    ):
        command = option(command)
    return command


@machine.command()
@click.argument("name", required=False)
@click.option("--mac", "macs", multiple=True, required=True, help="MAC address; the first is the one it boots from.")
@_power_options
@dry_run_option
@json_option
def add(name: str | None, macs: tuple[str, ...], dry_run: str | None, as_json: bool, **given: Any) -> None:
    """Add a machine; without a NAME it gets one."""
    body = {"macs": list(macs), **_filled(given)}
    driver, parameters = given["power_driver"], key_values(given["power"], "--power")
    if driver or parameters:
        body["power"] = {"driver": driver or "manual", "parameters": parameters}
    if name:
        body["name"] = name
    _told(connect().post("machines", body=body, dry_run=dry_run), "added", dry_run=dry_run, as_json=as_json)


@machine.command()
@click.argument("name")
@click.option("--rename", metavar="NEW", help="Give it another name.")
@click.option("--mac", "macs", multiple=True, help="MAC address; all of them, the first is the one it boots from.")
@click.option("--lock/--unlock", "locked", default=None, help="A locked machine refuses every operation.")
@click.option("--no-tags", is_flag=True, help="Take all tags off.")
@_power_options
@dry_run_option
@json_option
def edit(
    name: str,
    rename: str | None,
    macs: tuple[str, ...],
    locked: bool | None,
    no_tags: bool,
    dry_run: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Change a machine; what is not named stays. Tags, MACs and power parameters are replaced as a whole."""
    client, body = connect(), _filled(given)
    if rename:
        body["name"] = rename
    if macs:
        body["macs"] = list(macs)
    if locked is not None:
        body["locked"] = locked
    if no_tags:
        body["tags"] = []
    if given["power_driver"] or given["power"]:
        driver = given["power_driver"] or client.get("machines", name)["power"]["driver"]
        body["power"] = {"driver": driver, "parameters": key_values(given["power"], "--power")}
    if not body:
        raise Invalid("nothing_to_change", "Nothing to change was named.", "'metalwright machine edit --help' lists the options.")
    answer = client.patch("machines", name, body=body, dry_run=dry_run)
    _told(answer, "changed" if answer["changed"] else "unchanged", dry_run=dry_run, as_json=as_json)


@machine.command()
@functools.partial(for_machines, ask=True)
@click.option("--force", is_flag=True, help="Even those that are deployed: they go on running, and nobody knows of them.")
@dry_run_option
@json_option
def delete(chosen: Selection, force: bool, dry_run: str | None, as_json: bool) -> None:
    """Forget machines. Nothing is done to the hardware."""
    tell(chosen, "delete", {"force": force}, done="deleted", dry_run=dry_run, as_json=as_json)


def _filled(given: dict[str, Any]) -> dict[str, Any]:
    plain = ("arch", "firmware", "pool", "zone", "description")
    body = {key: given[key] for key in plain if given[key] is not None}
    if given["tags"]:
        body["tags"] = list(given["tags"])
    return body


def _told(changed: dict[str, Any], what: str, *, dry_run: str | None, as_json: bool) -> None:
    if as_json:
        emit_json(changed)
    else:
        click.echo(f"{changed['name']}: {'would be ' if dry_run else ''}{what}")
