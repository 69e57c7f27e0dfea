# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines a command is for: those that are named, or those that fit a filter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from metalwright.cli.client import Client
from metalwright.cli.options import confirm, yes_option
from metalwright.lifecycle.states import State

STATES = [state.value for state in State]
_FILTERS = ("state", "pool", "zone", "tag", "allocation")
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("names", metavar="[MACHINE]...", nargs=-1),
    click.option("--state", multiple=True, type=click.Choice(STATES), help="Instead of names: machines in this state."),
    click.option("--pool", multiple=True, help="Machines of this pool."),
    click.option("--zone", multiple=True, help="Machines of this zone."),
    click.option("--tag", multiple=True, help="Machines with this tag; of several tags, with all of them."),
    click.option("--allocation", multiple=True, help="Machines of this allocation."),
    click.option("--all", "every", is_flag=True, help="All machines; asks first."),
    yes_option,
)


@dataclass(frozen=True)
class Selection:
    """Names, or a filter as the API takes it: one of the two is empty."""

    names: tuple[str, ...]
    filters: Mapping[str, list[str]]
    every: bool = False

    @property
    def one(self) -> bool:
        """Whether exactly one machine is meant, by its name."""
        return len(self.names) == 1

    @property
    def body(self) -> dict[str, Any]:
        """The part of a request to many machines that says which."""
        return {"machines": list(self.names)} if self.names else {"filter": dict(self.filters)}

    def __str__(self) -> str:
        if self.every:
            return "all machines"
        if self.names:
            return ", ".join(self.names)
        return "all machines with " + ", ".join(f"{name} {' or '.join(values)}" for name, values in self.filters.items())

    def found(self, client: Client) -> list[str]:
        """The names of the machines, those of a filter as the controller knows them now."""
        if self.names:
            return list(dict.fromkeys(self.names))
        return [machine["name"] for machine in client.items("machines", fields="name", **self.filters)]


def for_machines(command: Callable[..., None], *, ask: bool = False) -> Callable[..., None]:
    """Give a command the argument and the options that say which machines; it is called with ``chosen``, a ``Selection``.

    With ``--all``, or always if ``ask``, it asks first, unless ``--yes`` was given or nothing is to be changed.
    """

    @functools.wraps(command)
    def run(*, names: tuple[str, ...], every: bool, yes: bool, **given: Any) -> None:
        filters = {name: list(given.pop(name)) for name in _FILTERS}
        chosen = _chosen(names, {name: values for name, values in filters.items() if values}, every=every)
        if (ask or every) and not given["dry_run"]:
            does = (click.get_current_context().command.help or "").strip().partition("\n")[0]
            confirm(f"{does} For {chosen}: go on?", yes=yes)
        command(chosen=chosen, **given)

    decorated: Callable[..., None] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def _chosen(names: tuple[str, ...], filters: dict[str, list[str]], *, every: bool) -> Selection:
    if sum((bool(names), bool(filters), every)) != 1:
        raise click.UsageError("Say which machines: name them, or give a filter such as --pool, or --all.")
    return Selection(names, {"state": STATES} if every else filters, every)
