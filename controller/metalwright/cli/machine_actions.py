# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are told to do: ``machine commission``, ``deploy``, ``release``, ``abort``, ``power ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from metalwright.cli.client import Client, connect
from metalwright.cli.options import json_option, key_values, read_text, wait_option
from metalwright.cli.waiting import finish, show_operations
from metalwright.errors import Invalid

names_argument = click.argument("names", metavar="MACHINE...", nargs=-1, required=True)


def add_to(machine: click.Group) -> None:
    """Put the actions under ``metalwright machine``."""
    for command in (commission, deploy, release, abort, power):
        machine.add_command(command)


@click.command()
@names_argument
@wait_option
@json_option
def commission(names: tuple[str, ...], wait: bool, as_json: bool) -> None:
    """Boot machines into the agent and take their inventory."""
    _act(names, "commission", {}, wait=wait, as_json=as_json)


@click.command()
@names_argument
@click.option("--image", required=True, help="Image to install, for example debian/12.")
@click.option("--hostname", help="Name of the deployed host; without it, the machine's.  (one machine only)")
@click.option(
    "--ssh-key",
    "ssh_keys",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with public SSH keys that may log in, one a line.",
)
@click.option("--user-data", type=click.Path(path_type=Path, dir_okay=False), help="File given to cloud-init as it is.")
@click.option("--manage-etc-hosts", type=click.Choice(["true", "false", "localhost"]), help="Who owns /etc/hosts.")
@click.option("--package", "packages", multiple=True, help="Package to install; may be given several times.")
@click.option("--package-update/--no-package-update", default=None, help="Refresh the list of packages.")
@click.option("--package-upgrade/--no-package-upgrade", default=None, help="Upgrade all packages.")
@click.option("--timezone", help="For example Europe/Berlin.")
@click.option("--power-state", metavar="YAML", help="For example '{delay: now, mode: reboot}', done when cloud-init has ended.")
@click.option("--address", help="auto: from the subnet's static range; dhcp; or an address.")
@click.option("--disk", multiple=True, metavar="KEY=VALUE", help="The disk: name, serial, wwn, model, min_size_gib, rotational.")
@wait_option
@json_option
def deploy(names: tuple[str, ...], wait: bool, as_json: bool, **given: Any) -> None:
    """Install an image on machines and boot them from it."""
    if given["hostname"] and len(names) > 1:
        raise click.UsageError("--hostname is for one machine; several would get the same name.")
    _act(names, "deploy", _deploy_body(given), wait=wait, as_json=as_json)


@click.command()
@names_argument
@click.option("--erase", type=click.Choice(["quick"]), default="quick", show_default=True, help="How the disks are erased.")
@wait_option
@json_option
def release(names: tuple[str, ...], erase: str, wait: bool, as_json: bool) -> None:
    """Erase machines and turn them off: they are ready for the next."""
    _act(names, "release", {"erase": erase}, wait=wait, as_json=as_json)


@click.command()
@names_argument
@json_option
def abort(names: tuple[str, ...], as_json: bool) -> None:
    """End what machines are doing."""
    client = connect()
    aborted = [_operation(client.post("machines", name, "abort")) for name in names]
    show_operations(aborted, as_json=as_json)


@click.group()
def power() -> None:
    """Turn machines on and off, or ask how they are."""


def _power_command(verb: str, line: str) -> None:
    @power.command(verb, help=line)
    @names_argument
    @wait_option
    @json_option
    def run(names: tuple[str, ...], wait: bool, as_json: bool) -> None:
        client = _act(names, f"power-{verb}", {}, wait=wait, as_json=as_json)
        if wait and not as_json:
            for name in names:
                click.echo(f"{name}: {client.get('machines', name)['power']['state']}")


_power_command("on", "Turn machines on.")
_power_command("off", "Turn machines off, at once.")
_power_command("cycle", "Turn machines off and on again.")
_power_command("query", "Ask whether machines are on.")


def _act(names: tuple[str, ...], action: str, body: dict[str, Any], *, wait: bool, as_json: bool) -> Client:
    client = connect()
    finish(client, [_start(client, name, action, body) for name in names], wait=wait, as_json=as_json)
    return client


def _start(client: Client, name: str, action: str, body: dict[str, Any]) -> dict[str, Any]:
    return _operation(client.post("machines", name, action, body=body))


def _operation(answer: Any) -> dict[str, Any]:
    operation: dict[str, Any] = answer["operation"]
    return operation


def _deploy_body(given: dict[str, Any]) -> dict[str, Any]:
    plain = ("image", "hostname", "package_update", "package_upgrade", "timezone", "address")
    body = {key: given[key] for key in plain if given[key] is not None}
    keys = [line for path in given["ssh_keys"] for line in read_text(path).splitlines() if line.strip() and line[0] != "#"]
    if keys:
        body["ssh_keys"] = keys
    if given["user_data"]:
        body["user_data"] = read_text(given["user_data"])
    if given["manage_etc_hosts"]:
        body["manage_etc_hosts"] = {"true": True, "false": False}.get(given["manage_etc_hosts"], given["manage_etc_hosts"])
    if given["packages"]:
        body["packages"] = list(given["packages"])
    if given["power_state"]:
        body["power_state"] = _mapping(given["power_state"], "--power-state")
    if given["disk"]:
        body["disk"] = {key: yaml.safe_load(value) for key, value in key_values(given["disk"], "--disk").items()}
    return body


def _mapping(given: str, option: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(given)
    except yaml.YAMLError as error:
        raise Invalid("option_invalid", f"{option} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise Invalid("option_invalid", f"{option} must be a mapping, for example '{{delay: now, mode: reboot}}'.")
    return value
