# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright explain``: a machine in plain words, and what can be done about it."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import json_option
from metalwright.cli.output import STYLES, age, emit_json, local_time

_LOG_LINES = 15


@click.command()
@click.argument("machine")
@json_option
def explain(machine: str, as_json: bool) -> None:
    """Say where MACHINE stands, what it does or failed at, what usually causes that, and every way out from there."""
    found = connect().get("machines", machine, "explain")
    if as_json:
        emit_json(found)
        return
    state = click.style(found["state"], fg=STYLES.get(found["state"]), bold=True)
    click.echo(f"{click.style(found['machine'], bold=True)} is {state}: {found['meaning']}")
    for note in found["notes"]:
        click.echo(f"  {note}")
    if found["doing"]:
        _show_doing(found["doing"])
    if found["failure"]:
        _show_failure(found["failure"])
    _show_ways("You can", found["state"], [way for way in found["ways"] if not way["refused"]])
    _show_ways("Not now", found["state"], [way for way in found["ways"] if way["refused"]])


def _show_doing(doing: dict[str, Any]) -> None:
    where = f"in {doing['phase']} for {age(doing['since'])}" if doing["phase"] else "waiting in line"
    progress = f", {doing['progress']}%" if doing["progress"] is not None else ""
    _heading(f"{doing['kind']} ({doing['operation']}) is {where}{progress}")
    pairs = [("now", doing["message"]), ("last seen", doing["last_seen"])]
    if doing["deadline"]:
        pairs.append(("otherwise", f"nothing more heard until {local_time(doing['deadline'])}: {doing['otherwise']}"))
    _pairs(pairs)


def _show_failure(failure: dict[str, Any]) -> None:
    what = f"{failure['kind']} ({failure['operation']})" if failure["kind"] else "An operation"
    verb = "was aborted" if failure["code"] == "aborted" else "failed"
    where = f" in {failure['phase']}" if failure["phase"] else ""
    when = f", {age(failure['at'])} ago" if failure["at"] else ""
    _heading(f"{what} {verb}{where}{when}")
    pairs = [
        ("what", failure["message"]),
        ("code", f"{failure['code']}: {failure['what']}".rstrip(": ")),
        ("last seen", failure["last_seen"]),
        ("usually", failure["hint"]),
        ("log", "\n".join(failure["log_tail"].splitlines()[-_LOG_LINES:])),
        ("see", failure["docs"]),
    ]
    _pairs(pairs)


def _show_ways(heading: str, state: str, ways: list[dict[str, Any]]) -> None:
    if not ways:
        return
    _heading(heading)
    width = max(len(way["command"]) for way in ways)
    for way in ways:
        leads = f"-> {' or '.join(way['leads_to'])}" if way["leads_to"] else "-> forgotten"
        stays = way["leads_to"] == [state]
        why = " ".join(filter(None, (way["refused"], way["hint"]))) or ("stays as it is" if stays else leads)
        click.echo(f"  {way['command'].ljust(width)}  {click.style(why, dim=True)}")


def _heading(text: str) -> None:
    click.echo(f"\n{click.style(text, bold=True)}")


def _pairs(pairs: list[tuple[str, str]]) -> None:
    for name, value in pairs:
        if value:
            indented = value.replace("\n", "\n" + " " * 13)
            click.echo(f"  {click.style(name.ljust(9), dim=True)}  {indented}")
