# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows operations until they end: a live bar each on a terminal, a line at each phase elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from metalwright.cli.client import Client
from metalwright.cli.output import emit_json
from metalwright.errors import MetalwrightError

ENDED = frozenset({"succeeded", "failed", "aborted"})
_LOOK_SECONDS = 1

Show = Callable[[dict[str, Any]], None]


def finish(client: Client, operations: Sequence[dict[str, Any]], *, wait: bool, as_json: bool) -> None:
    """Show what was started, wait for it if that is wanted, and raise if something of it failed.

    Raises ``MetalwrightError`` (``operation_failed`` or ``operation_aborted``) for the first that did not succeed.
    """
    current = list(operations)
    if wait:
        current = follow(client, current, quiet=as_json)
    show_operations(current, as_json=as_json)
    for operation in current:
        if operation["state"] in ("failed", "aborted"):
            raise failure_of(operation)


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
    what = f"{operation['machine']['name']}: {operation['kind']}"
    if operation["state"] == "aborted":
        return MetalwrightError("operation_aborted", f"{what} was aborted.")
    failure = operation.get("failure") or {}
    phase = f" in phase {failure['phase']}" if failure.get("phase") else ""
    hints = [failure.get("hint") or "", f"Last seen: {failure['last_seen']}" if failure.get("last_seen") else ""]
    message = f"{what} failed{phase}: {failure.get('message') or operation.get('message') or 'no reason was given'}"
    return MetalwrightError("operation_failed", message, " ".join(filter(None, hints)))


def follow(client: Client, operations: Sequence[dict[str, Any]], *, quiet: bool = False) -> list[dict[str, Any]]:
    """Ask about operations until all have ended; returns them as they ended, in the order they were given."""
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
