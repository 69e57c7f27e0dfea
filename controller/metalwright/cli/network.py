# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright network``: what serves DHCP and DNS, and what it was not told yet. On the controller's host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from metalwright.cli import local_network
from metalwright.cli.options import config_option, json_option
from metalwright.cli.output import details, emit_json


@click.group()
def network() -> None:
    """What serves DHCP and DNS (on the controller's host)."""


@network.command()
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Which engine serves DHCP and DNS, and how it is.

    A configuration that an engine did not come up with is named with the engine's own words, until another one is accepted.
    """
    found = local_network.status(config)
    if as_json:
        emit_json(found)
        return
    shown = {"engine": found["engine"], "leases": str(found["leases"]), "waiting changes": str(found["waiting"])}
    for process in found["processes"]:
        refused = f"refused its new configuration: {process['refused']}" if process["refused"] else "refused nothing"
        shown[process["name"]] = refused
    details(shown)


@network.command()
@config_option
@json_option
def diff(config: Path | None, as_json: bool) -> None:
    """What the site's own servers were not told yet; [dhcp] engine external only.

    Where there is no hook, carry it over, then run 'metalwright network apply'.
    """
    found = local_network.differences(config)
    if as_json:
        emit_json(found)
        return
    if not found:
        click.echo("The site's servers were told everything.", err=True)
    for kind, told in found.items():
        for what, things in told.items():
            for thing in things:
                click.echo(f"{_SIGNS[what]} {kind.removesuffix('s')} {_told(thing)}")


@network.command()
@config_option
@json_option
def apply(config: Path | None, as_json: bool) -> None:
    """Bring DHCP and DNS to what the database says, now.

    A configuration that an engine did not come up with is tried once more. With engine external the hook is run; where there is
    none, this says that what 'metalwright network diff' showed last was carried over, and nothing that has changed since.
    """
    found = local_network.apply(config)
    if as_json:
        emit_json(found)
        return
    click.echo(_DONE[found["change"]])
    if found["untold"]:
        click.echo("More has changed since 'metalwright network diff' was run: run it again.", err=True)


_SIGNS = {"added": "+", "changed": "~", "removed": "-"}
_DONE = {
    "nothing": "Nothing was to be changed.",
    "reloaded": "DHCP and DNS were changed.",
    "restart": "DHCP and DNS were changed, and started again for it.",
}


def _told(thing: dict[str, Any]) -> str:
    """A thing in one line: what it has, or which of it is another now."""
    if "after" in thing:
        before, after = thing["before"], thing["after"]
        fields = [f"{name} {_value(before[name])} -> {_value(after[name])}" for name in after if before[name] != after[name]]
        return f"{_named(after)}: {', '.join(fields)}"
    return ", ".join(f"{name} {_value(value)}" for name, value in thing.items() if value not in (None, [], ""))


def _named(thing: dict[str, Any]) -> str:
    return str(thing.get("address") or thing.get("name") or "")


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
