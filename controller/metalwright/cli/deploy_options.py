# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say how a machine is deployed, and the body of a deployment that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from metalwright.cli.options import key_values, read_text
from metalwright.errors import Invalid

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--hostname", help="Name of the deployed host; without it, the machine's.  (one machine only)"),
    click.option(
        "--ssh-key",
        "ssh_keys",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with public SSH keys that may log in, one a line.",
    ),
    click.option("--user-data", type=click.Path(path_type=Path, dir_okay=False), help="File given to cloud-init as it is."),
    click.option("--manage-etc-hosts", type=click.Choice(["true", "false", "localhost"]), help="Who owns /etc/hosts."),
    click.option("--package", "packages", multiple=True, help="Package to install; may be given several times."),
    click.option("--package-update/--no-package-update", default=None, help="Refresh the list of packages."),
    click.option("--package-upgrade/--no-package-upgrade", default=None, help="Upgrade all packages."),
    click.option("--timezone", help="For example Europe/Berlin."),
    click.option(
        "--power-state", metavar="YAML", help="For example '{delay: now, mode: reboot}', done when cloud-init has ended."
    ),
    click.option("--address", help="auto: from the subnet's static range; dhcp; or an address."),
    click.option(
        "--disk", multiple=True, metavar="KEY=VALUE", help="The disk: name, serial, wwn, model, min_size_gib, rotational."
    ),
)
_PLAYBOOK: tuple[Callable[[Any], Any], ...] = (
    click.option("--playbook", metavar="NAME", help="Playbook of the controller: run once deployed, or before a release."),
    click.option(
        "--playbook-vars", type=click.Path(path_type=Path, dir_okay=False), help="File with its extra variables, YAML or JSON."
    ),
    click.option("--playbook-timeout", type=click.IntRange(1), metavar="SECONDS", help="How long it may take."),
)


def deploy_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of a deployment, except the image."""
    command = playbook_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def playbook_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a playbook."""
    for option in reversed(_PLAYBOOK):
        command = option(command)
    return command


def playbook(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options about a playbook out of ``given``; returns them as the API takes them."""
    said = {name: given.pop(name) for name in ("playbook", "playbook_vars", "playbook_timeout")}
    if said["playbook_vars"]:
        said["playbook_vars"] = _mapping(read_text(said["playbook_vars"]), "--playbook-vars")
    return {name: value for name, value in said.items() if value is not None}


def deployment(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as the API takes them."""
    plain = ("image", "hostname", "package_update", "package_upgrade", "timezone", "address")
    body = {key: given[key] for key in plain if given[key] is not None}
    if given["ssh_keys"]:
        body["ssh_keys"] = public_keys(given["ssh_keys"])
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
    return body | playbook(given)


def public_keys(paths: tuple[Path, ...]) -> list[str]:
    """The keys in files, one a line; empty lines and comments are left out."""
    return [line for path in paths for line in read_text(path).splitlines() if line.strip() and line[0] != "#"]


def _mapping(given: str, option: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(given)
    except yaml.YAMLError as error:
        raise Invalid("option_invalid", f"{option} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise Invalid("option_invalid", f"{option} must be a mapping, for example '{{delay: now, mode: reboot}}'.")
    return value
