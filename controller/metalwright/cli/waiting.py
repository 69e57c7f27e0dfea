# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows operations until they end: a live bar each on a terminal, a line at each phase elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from metalwright.cli.client import Client
from metalwright.cli.failure import complain, stop
from metalwright.cli.output import emit_json
from metalwright.errors import Conflict, MetalwrightError

ENDED = frozenset({"succeeded", "failed", "aborted"})
_LOOK_SECONDS = 1

Show = Callable[[dict[str, Any]], None]


def finish(client: Client, operations: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Wait for operations, show them, and end the command if one or more of them did not succeed."""
    current = follow(client, operations, quiet=as_json)
    show_operations(current, as_json=as_json)
    stop(complain_of(current))


def complain_of(ended: Sequence[dict[str, Any]]) -> list[MetalwrightError]:
    """Print why operations did not succeed, or were not followed by what was planned; returns those errors."""
    wrong = [failure_of(operation) for operation in ended if operation["state"] != "succeeded" or operation["next"]]
    for error in wrong:
        complain(error)
    return wrong


def show_operations(operations: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print how operations are: a line each, or as JSON one object for one and a list for several."""
    if as_json:
        emit_json(operations[0] if len(operations) == 1 else list(operations))
        return
    for operation in operations:
        click.echo(summary(operation))


def summary(operation: dict[str, Any]) -> str:
    """One line about an operation: ``web1: deploy succeeded  (4hk2n7c0zq)``."""
    colour = {"succeeded": "green", "failed": "red", "aborted": "red"}.get(operation["state"], "yellow")
    state = click.style(operation["state"], fg=colour)
    return f"{operation['machine']['name']}: {operation['kind']} {state}  ({operation['id']})"


def failure_of(operation: dict[str, Any]) -> MetalwrightError:
    """The error that an operation ended with."""
    name = operation["machine"]["name"]
    what = f"{name}: {operation['kind']}"
    if operation["state"] == "succeeded":
        message = operation["message"] or f"{name}: {operation['next'][0]} did not follow {operation['kind']}."
        return Conflict("not_followed", message, f"Look at it: metalwright machine show {name}")
    if operation["state"] == "aborted":
        return MetalwrightError("operation_aborted", f"{what} was aborted.")
    failure = operation.get("failure") or {}
    phase = f" in phase {failure['phase']}" if failure.get("phase") else ""
    hints = [failure.get("hint") or "", f"Last seen: {failure['last_seen']}" if failure.get("last_seen") else ""]
    message = f"{what} failed{phase}: {failure.get('message') or operation.get('message') or 'no reason was given'}"
    return MetalwrightError("operation_failed", message, " ".join(filter(None, hints)))


def follow(client: Client, operations: Sequence[dict[str, Any]], *, quiet: bool = False) -> list[dict[str, Any]]:
    """Ask about operations, and those planned to follow them, until all have ended.

    Returns the last of each, as it ended, in the order they were given. One that succeeded and still has a ``next`` is one that
    the controller could not follow; its ``message`` says why.
    """
    last = _follow(client, operations, quiet=quiet)
    going_on = dict(enumerate(last))
    while followers := {index: found for index, each in going_on.items() if (found := _follower(client, each)) is not None}:
        ended = _follow(client, list(followers.values()), quiet=quiet)
        going_on = dict(zip(followers, ended, strict=True))
        for index, operation in going_on.items():
            last[index] = operation
    return last


def _follower(client: Client, operation: dict[str, Any]) -> dict[str, Any] | None:
    """The operation that the controller has started after this one, if there is one."""
    identifier = operation["followed_by"]
    return client.get("operations", identifier) if identifier else None


def _follow(client: Client, operations: Sequence[dict[str, Any]], *, quiet: bool) -> list[dict[str, Any]]:
    current = {operation["id"]: operation for operation in operations}
    with _shown(list(current.values()), quiet=quiet) as show:
        for operation in current.values():
            show(operation)
        while pending := [key for key, operation in current.items() if operation["state"] not in ENDED]:
            for index, key in enumerate(pending):
                # The first question waits at the controller for news, so the loop needs no sleep of its own.
                current[key] = client.get("operations", key, wait=_LOOK_SECONDS if index == 0 else None)
                show(current[key])
    return list(current.values())


@contextmanager
def _shown(operations: Sequence[dict[str, Any]], *, quiet: bool) -> Iterator[Show]:
    if quiet:
        yield lambda _operation: None
    elif sys.stderr.isatty():
        with _bars(operations) as show:
            yield show
    else:
        yield _lines()


def _lines() -> Show:
    told: dict[str, tuple[Any, ...]] = {}

    def show(operation: dict[str, Any]) -> None:
        news = (operation["state"], operation.get("phase"))
        if told.get(operation["id"]) != news and operation["state"] not in ENDED:
            told[operation["id"]] = news
            phase = operation.get("phase") or operation.get("message") or ""
            click.echo(f"{operation['machine']['name']}: {operation['kind']} {operation['state']} {phase}".rstrip(), err=True)

    return show


@contextmanager
def _bars(operations: Sequence[dict[str, Any]]) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from metalwright.cli.output import console

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[phase]}", style="cyan", markup=False),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(errors=True), transient=True) as progress:
        bars = {
            operation["id"]: progress.add_task(
                f"{operation['machine']['name']} {operation['kind']}",
                total=None,
                phase="",
                message=operation.get("message") or "",
            )
            for operation in operations
        }

        def show(operation: dict[str, Any]) -> None:
            bar, percent = bars[operation["id"]], operation.get("progress")
            phase, message = operation.get("phase") or operation["state"], (operation.get("message") or "")[:60]
            progress.update(bar, completed=percent or 0, phase=phase, message=message)
            progress.tasks[bar].total = 100 if percent is not None else None
            if operation["state"] in ENDED:
                progress.update(bar, total=100, completed=100)
                progress.stop_task(bar)

        yield show
