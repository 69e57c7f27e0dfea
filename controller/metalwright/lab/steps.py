# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the person who waits what is being done, how far it is, and how long each step took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

First = TypeVar("First")
Second = TypeVar("Second")

Tell = Callable[[str, float | None], None]
"""Told what goes on in a step and how much of it is done (0 to 1), or None where nobody can know."""


class Steps:
    """Steps on a console: live on a terminal, a line each elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, label: str) -> Iterator[Tell]:
        """Show a step while it goes on, and one line when it is done: the last thing told, and the time."""
        with self._live() as live, self._shown(live, label) as tell:
            yield tell

    def both(
        self, first: tuple[str, Callable[[Tell], First]], second: tuple[str, Callable[[Tell], Second]]
    ) -> tuple[First, Second]:
        """Do two steps, each a label and its work, at the same time; the first failure is raised when both have ended."""
        with self._live() as live, ThreadPoolExecutor(2) as pool:

            def run(label: str, work: Callable[[Tell], First | Second]) -> First | Second:
                with self._shown(live, label) as tell:
                    return work(tell)

            one, two = pool.submit(run, *first), pool.submit(run, *second)
            return one.result(), two.result()  # type: ignore[return-value]

    def _live(self) -> Progress:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn())
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)

    @contextmanager
    def _shown(self, live: Progress, label: str) -> Iterator[Tell]:
        started, last = time.monotonic(), ""
        task = live.add_task(label, total=None)

        def tell(message: str, share: float | None) -> None:
            nonlocal last
            last = message
            live.update(task, description=f"{label}: {message}", total=None if share is None else 1.0, completed=share or 0.0)

        yield tell
        live.remove_task(task)
        took = f"{time.monotonic() - started:.1f} s"
        self.console.print(f"[green]done[/green]  {label}{f': {last}' if last else ''} [dim]({took})[/dim]", highlight=False)
