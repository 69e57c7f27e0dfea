# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright machine``: what there is, adding, editing and deleting. What they are told to do is in ``machine_actions``."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli import machine_actions
from metalwright.cli.client import connect
from metalwright.cli.options import confirm, json_option, key_values, yes_option
from metalwright.cli.output import age, details, emit_json, size, table
from metalwright.errors import Invalid


@click.group()
def machine() -> None:
    """Machines: add, commission, deploy, release, power."""


machine_actions.add_to(machine)


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
            ("DOING", _doing),
            ("POWER", lambda m: m["power"]["state"]),
            ("ADDRESS", _address),
            ("IMAGE", lambda m: (m.get("deployed") or {}).get("image")),
            ("CPUS", lambda m: m["cpu_count"]),
            ("MEMORY", _memory),
            ("DISK", lambda m: f"{m['disk_gib']} GiB" if m["disk_gib"] else None),
            ("ALLOCATION", lambda m: m["allocation"]),
            ("TAGS", lambda m: m["tags"]),
        ),
        found,
        "There are no machines. 'metalwright machine add' adds one.",
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
    failure, deployed = found.get("failure") or {}, found.get("deployed") or {}
    details(
        {
            "name": found["name"],
            "id": found["id"],
            "state": found["state"],
            "doing": _doing(found),
            "failure": failure.get("message"),
            "hint": failure.get("hint"),
            "locked": "yes" if found["locked"] else None,
            "description": found["description"],
            "allocation": found["allocation"],
            "image": deployed.get("image"),
            "hostname": deployed.get("hostname"),
            "deployed": f"{age(deployed['at'])} ago" if deployed.get("at") else None,
            "power": f"{found['power']['state']} ({found['power']['driver']})",
            "power options": "\n".join(f"{key}={value}" for key, value in found["power"]["parameters"].items()),
            "interfaces": "\n".join(_interface(each) for each in found["interfaces"]),
            "cpus": found["cpu_count"],
            "memory": _memory(found),
            "disks": "\n".join(_disk(each) for each in (found.get("hardware") or {}).get("disks", [])),
            "system": _system(found),
            "arch": found["arch"],
            "firmware": found["firmware"],
            "pool": found["pool"],
            "zone": found["zone"],
            "tags": found["tags"],
            "host keys": "\n".join(found["host_keys"]),
        }
    )


def _power_options(command: Any) -> Any:
    for option in (
        click.option("--power-driver", help="How its power is switched: ipmi, libvirt or manual."),
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
@json_option
def add(name: str | None, macs: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Add a machine; without a NAME it gets one."""
    body = {"macs": list(macs), **_filled(given)}
    driver, parameters = given["power_driver"], key_values(given["power"], "--power")
    if driver or parameters:
        body["power"] = {"driver": driver or "manual", "parameters": parameters}
    if name:
        body["name"] = name
    _told(connect().post("machines", body=body), "added", as_json=as_json)


@machine.command()
@click.argument("name")
@click.option("--rename", metavar="NEW", help="Give it another name.")
@click.option("--mac", "macs", multiple=True, help="MAC address; all of them, the first is the one it boots from.")
@click.option("--lock/--unlock", "locked", default=None, help="A locked machine refuses every operation.")
@click.option("--no-tags", is_flag=True, help="Take all tags off.")
@_power_options
@json_option
def edit(
    name: str, rename: str | None, macs: tuple[str, ...], locked: bool | None, no_tags: bool, as_json: bool, **given: Any
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
    _told(client.patch("machines", name, body=body), "changed", as_json=as_json)


@machine.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Even those that are deployed: they go on running, and nobody knows of them.")
@yes_option
def delete(names: tuple[str, ...], force: bool, yes: bool) -> None:
    """Forget machines. Nothing is done to the hardware."""
    confirm(f"Forget {', '.join(names)}?", yes=yes)
    client = connect()
    for name in names:
        client.delete("machines", name, force="true" if force else None)
        click.echo(f"{name}: deleted")


def _filled(given: dict[str, Any]) -> dict[str, Any]:
    plain = ("arch", "firmware", "pool", "zone", "description")
    body = {key: given[key] for key in plain if given[key] is not None}
    if given["tags"]:
        body["tags"] = list(given["tags"])
    return body


def _told(changed: dict[str, Any], what: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(changed)
    else:
        click.echo(f"{changed['name']}: {what}")


def _doing(found: dict[str, Any]) -> str | None:
    operation = found.get("operation")
    if not operation or operation["state"] not in ("queued", "running"):
        return None
    percent = f" {operation['progress']}%" if operation.get("progress") is not None else ""
    return f"{operation['kind']}: {operation.get('phase') or operation['state']}{percent}"


def _address(found: dict[str, Any]) -> str | None:
    return next((each["address"] for each in found["interfaces"] if each.get("address")), None)


def _memory(found: dict[str, Any]) -> str | None:
    return size(found["memory_mib"] * 2**20) if found["memory_mib"] else None


def _interface(each: dict[str, Any]) -> str:
    words = (each["mac"], each.get("name"), each.get("address"), each.get("subnet"), "boots" if each.get("boot") else None)
    return "  ".join(str(word) for word in words if word)


def _disk(each: dict[str, Any]) -> str:
    words = (each["name"], size(each["size_bytes"]), each.get("model"), each.get("serial"))
    return "  ".join(str(word) for word in words if word)


def _system(found: dict[str, Any]) -> str | None:
    system = (found.get("hardware") or {}).get("system", {})
    return " ".join(str(system[key]) for key in ("vendor", "product", "serial") if system.get(key)) or None
