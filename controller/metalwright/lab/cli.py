# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright lab``: make, look at, enter and remove a rack of virtual machines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from metalwright.errors import Invalid, NotFound
from metalwright.lab import control, files, host, netns
from metalwright.lab.spec import LabSpec, Places

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def name_option(command: Command) -> Command:
    """Which lab: the same option everywhere."""
    help_text = "Name of the lab; several may exist side by side."
    return click.option("--name", default="lab", show_default=True, envvar="METALWRIGHT_LAB", help=help_text)(command)


@click.group()
def lab() -> None:
    """A rack on this host: virtual machines with BMCs in a network of their own."""


@lab.command()
@name_option
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the admin API on this host's loopback.  [default: 5240]")
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML file that says what the lab is made of; without it, two BIOS machines and a UEFI machine.",
)
@json_option
def up(name: str, port: int | None, spec_file: Path | None, as_json: bool) -> None:
    """Make a lab, or what is missing of it. Done twice, it changes nothing."""
    from metalwright.lab.steps import Steps
    from metalwright.lab.up import up as make

    host.check_root()
    places = Places.of(name)
    spec = _wished(name, port, spec_file, places)
    make(spec, places, Steps(Console(stderr=as_json)))
    _show(spec, places, as_json=as_json)


@lab.command()
@name_option
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the admin API on this host's loopback.  [default: 5240]")
def demo(name: str, port: int | None) -> None:
    """Make a lab and deploy all of its machines with Ansible."""
    from metalwright.lab.demo import demo as show
    from metalwright.lab.steps import Steps
    from metalwright.lab.up import up as make

    host.check_root()
    places, out = Places.of(name), Console()
    spec = _wished(name, port, None, places)
    make(spec, places, Steps(out))
    show(spec, places, out)


@lab.command()
@name_option
def down(name: str) -> None:
    """Remove a lab and all its machines. What was built for it is kept for the next."""
    from metalwright.lab.down import down as remove

    host.check_root()
    places = Places.of(name)
    if not remove(places):
        click.echo(f"There is no lab {name}.")
        return
    click.echo(f"Lab {name} is gone. Kept for the next one: {places.cache}")


@lab.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """Show machines, their power, BMCs, and where the controller is."""
    _show(*_existing(name), as_json=as_json)


@lab.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@name_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def execute(name: str, command: tuple[str, ...]) -> NoReturn:
    """Run COMMAND (a shell without one) in the lab's network, with its names, controller and inventory."""
    spec, places = _existing(name)
    argv = netns.command(spec, places, list(command or (os.environ.get("SHELL", "/bin/sh"),)))
    sys.stdout.flush()
    os.execvpe(argv[0], argv, {**files.environment(places), "METALWRIGHT_LAB": name})  # noqa: S606 - to run what the user says is the purpose


@lab.command()
@name_option
@click.argument("machine")
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written, until Ctrl-C.")
def console(name: str, machine: str, follow: bool) -> None:
    """Print what MACHINE wrote to its serial console since the lab was made."""
    spec, places = _existing(name)
    names = [each.name for each in spec.machines]
    if machine not in names:
        raise NotFound("machine_not_found", f"Lab {name} has no machine {machine}.", f"It has {', '.join(names)}.")
    path = places.console(machine)
    if not path.exists() and not follow:
        click.echo(f"{machine} was never turned on.", err=True)
        return
    path.touch()
    with path.open("rb") as log:
        while True:
            while heard := log.read(65536):
                sys.stdout.buffer.write(heard)
            sys.stdout.buffer.flush()
            if not follow:
                return
            time.sleep(0.2)


def _wished(name: str, port: int | None, spec_file: Path | None, places: Places) -> LabSpec:
    """What the options say, and what is written down of the lab where they say nothing."""
    if places.spec.exists() and spec_file is None:
        kept = LabSpec.model_validate_json(places.spec.read_text(encoding="utf-8"))
        return kept if port is None else kept.model_copy(update={"port": port})
    values: Any = {}
    try:
        if spec_file is not None:
            values = yaml.safe_load(spec_file.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise Invalid("spec_invalid", f"{spec_file} is not a mapping.", "See docs/how-to/lab.md.")
        return LabSpec.model_validate({**values, "name": name, **({"port": port} if port else {})})
    except yaml.YAMLError as error:
        raise Invalid("spec_invalid", f"{spec_file} is not YAML: {error}", "Mend the file.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid("spec_invalid", f"{spec_file or 'The lab'}: {where}: {first['msg']}", "See docs/how-to/lab.md.") from None


def _existing(name: str) -> tuple[LabSpec, Places]:
    host.check_root()
    places = Places.of(name)
    if not places.spec.exists():
        raise NotFound("lab_not_found", f"There is no lab {name}.", "'metalwright lab up' makes one.")
    return LabSpec.model_validate_json(places.spec.read_text(encoding="utf-8")), places


def _show(spec: LabSpec, places: Places, *, as_json: bool) -> None:
    answer = control.ask(places.socket, "status")
    if as_json:
        paths = {"directory": str(places.root), "env": str(places.env), "machines_file": str(places.machines)}
        click.echo(json.dumps({"name": spec.name, "url": spec.url, **paths, **answer}, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("MACHINE", "FIRMWARE", "POWER", "MAC", "BMC"):
        table.add_column(column)
    for each in answer["machines"]:
        table.add_row(each["name"], each["firmware"], each["power"], each["mac"], each["bmc"])
    out = Console(highlight=False, soft_wrap=True)
    out.print(table)
    out.print(f"\nController  {spec.url}")
    waiting = [child for child, state in answer["children"].items() if state["pid"] is None]
    if waiting:
        out.print(f"[red]Not running[/red]  {', '.join(waiting)} (logs: {places.logs})")
    out.print(f"Clients     . {places.env}")
    out.print(f"Deploy      {spec.enter} -- ansible-playbook -i {places.machines} metalwright.fleet.site")
