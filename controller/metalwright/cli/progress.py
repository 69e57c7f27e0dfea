# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how far a piece of work on this host is: a bar on a terminal, a line at each step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

Progress = Callable[[str, float | None], None]
"""Told what goes on and how much of the whole is done (0 to 1), or None where nobody can know."""


@contextmanager
def shown(title: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Give a function to call with news; they are shown on standard error."""
    if quiet:
        yield lambda _what, _share: None
    elif sys.stderr.isatty():
        with _bar(title) as progress:
            yield progress
    else:
        yield _lines(title)


def _lines(title: str) -> Progress:
    last = ""

    def tell(what: str, _share: float | None) -> None:
        nonlocal last
        if what != last:
            last = what
            click.echo(f"{title}: {what}", err=True)

    return tell


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich import progress as bars

    from metalwright.cli.output import console

    columns = (
        bars.TextColumn(title, style="bold", markup=False),
        bars.BarColumn(bar_width=30),
        bars.TaskProgressColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.description}", style="cyan", markup=False),
    )
    with bars.Progress(*columns, console=console(errors=True), transient=True) as display:
        task = display.add_task("", total=None)

        def tell(what: str, share: float | None) -> None:
            display.update(task, description=what[:60])
            if share is not None:
                display.update(task, total=1.0, completed=share)

        yield tell
