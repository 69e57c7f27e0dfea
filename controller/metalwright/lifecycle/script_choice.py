# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scripts an operation runs on a machine, and with which parameters.

Of each kind the operation runs either those that its parameters name, in that order, or the automatic ones, by name. One that is
not for the machine's hardware is left out; one that was named is told as skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid
from metalwright.lifecycle.expression import parse as parse_expression
from metalwright.lifecycle.facts import facts
from metalwright.lifecycle.script_catalogue import every
from metalwright.lifecycle.scripts import Definition, Kind
from metalwright.store.models import Machine

KINDS: dict[str, tuple[tuple[Kind, str], ...]] = {
    "commission": (("commissioning", "scripts"), ("test", "tests")),
    "test": (("test", "scripts"),),
    "release": (("release", "scripts"),),
}
"""By operation: the kinds of scripts it runs, in order, and the parameter that names them."""


class Choice(NamedTuple):
    """A script to run, with the text of each parameter that has a value."""

    script: Definition
    parameters: dict[str, str]
    fits: bool
    """Whether it is for the machine's hardware."""


def choose(session: Session, machine: Machine, operation: str, said: Mapping[str, Any]) -> list[Choice]:
    """What an operation of that kind with the parameters ``said`` (``scripts, tests, parameters``) runs, in order.

    Raises ``Invalid``: ``script_unknown``, ``script_kind``, ``script_not_chosen`` (parameters for one that does not run),
    ``script_parameter``; details name the script and the parameter. Raises ``Conflict`` (``script_destructive``) where a script
    that destroys data is to run on a machine that holds some.
    """
    known = every(session)
    chosen = [script for kind, key in KINDS[operation] for script in _of_kind(known, kind, said.get(key))]
    given: Mapping[str, Mapping[str, Any]] = said.get("parameters") or {}
    if strangers := [name for name in given if name not in {script.name for script in chosen}]:
        message = f"Parameters are given for {', '.join(strangers)}, but this {operation} does not run it."
        raise Invalid("script_not_chosen", message, "Name it among the scripts to run.", script=strangers[0])
    _check_nothing_is_lost(machine, chosen)
    hardware = facts(machine)
    named = {name for _, key in KINDS[operation] for name in said.get(key) or []}
    found = [Choice(script, _values(script, given.get(script.name, {})), _fits(script, hardware)) for script in chosen]
    return [choice for choice in found if choice.fits or choice.script.name in named]


def _of_kind(known: Mapping[str, Definition], kind: Kind, names: Sequence[str] | None) -> list[Definition]:
    if names is None:
        return [script for script in known.values() if script.kind == kind and script.automatic]
    for name in names:
        script = known.get(name)
        if script is None:
            message = f"There is no script {name}."
            raise Invalid("script_unknown", message, "See 'metalwright script list'.", script=name)
        if script.kind != kind:
            raise Invalid("script_kind", f"{name} is a {script.kind} script, not one for {kind}.", script=name)
    return [known[name] for name in dict.fromkeys(names)]


def _values(script: Definition, given: Mapping[str, Any]) -> dict[str, str]:
    for name in given:
        if name not in script.parameters:
            there = f"It has: {', '.join(script.parameters)}." if script.parameters else "It has none."
            raise _refusal(script, name, "is no parameter of it", there)
    found = {}
    for name, parameter in script.parameters.items():
        value = given.get(name, parameter.default)
        if value is None:
            if parameter.required:
                raise _refusal(script, name, "is required and has no default", parameter.description)
            continue
        try:
            found[name] = parameter.text(value)
        except ValueError as error:
            raise _refusal(script, name, str(error), parameter.description) from None
    return found


def _refusal(script: Definition, parameter: str, why: str, hint: str) -> Invalid:
    message = f"Script {script.name}: {parameter} {why}."
    return Invalid("script_parameter", message, hint, script=script.name, parameter=parameter)


def _check_nothing_is_lost(machine: Machine, chosen: Sequence[Definition]) -> None:
    """A test or commissioning script that destroys data needs a machine that holds none; a release erases it anyway."""
    names = [script.name for script in chosen if script.destructive and script.kind != "release"]
    if names and machine.deployed is not None:
        message = f"{machine.name} holds a system that {', '.join(names)} would destroy."
        raise Conflict("script_destructive", message, "Release it first.", machine=machine.name, script=names[0])


def _fits(script: Definition, hardware: Mapping[str, Any]) -> bool:
    return not script.hardware or parse_expression(script.hardware).matches(hardware)
