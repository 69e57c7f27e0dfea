# SPDX-License-Identifier: GPL-3.0-or-later
"""How results are shown: JSON for programs, tables for people. rich is imported only for a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

Column = tuple[str, Callable[[dict[str, Any]], Any]]
"""Heading and what of a row stands below it."""

STYLES = {
    "ready": "green",
    "deployed": "green",
    "succeeded": "green",
    "passed": "green",
    "timeout": "red",
    "failed": "red",
    "aborted": "red",
    "broken": "red",
    "commissioning": "yellow",
    "deploying": "yellow",
    "releasing": "yellow",
    "running": "yellow",
    "importing": "yellow",
    "allocated": "cyan",
}
_WIDE = 1000


def emit_json(value: Any) -> None:
    """Print JSON, indented, in the order the API gave."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def console(*, errors: bool = False) -> Console:
    """A console of rich; one that is no terminal is wide, so that nothing is cut off in a pipe."""
    from rich.console import Console

    stream = sys.stderr if errors else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDE, highlight=False, markup=False, emoji=False)


def table(columns: Sequence[Column], rows: Iterable[dict[str, Any]], empty: str) -> None:
    """Print rows as a table, or the sentence ``empty`` on standard error when there is none."""
    from rich.table import Table
    from rich.text import Text

    wanted = list(rows)
    if not wanted:
        click.echo(empty, err=True)
        return
    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for heading, _ in columns:
        shown.add_column(heading, no_wrap=heading in ("NAME", "ID", "STATE"))
    for row in wanted:
        cells = [text(value(row)) for _, value in columns]
        shown.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells))
    console().print(shown)


def details(pairs: Mapping[str, Any]) -> None:
    """Print names and values below each other; what is None or empty is left out."""
    filled = {name: text(value) for name, value in pairs.items() if value not in (None, "", [], {})}
    width = max((len(name) for name in filled), default=0)
    for name, value in filled.items():
        indented = value.replace("\n", "\n" + " " * (width + 2))
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {click.style(indented, fg=STYLES.get(value))}")


def text(value: Any) -> str:
    """A cell: lists are joined, nothing is a dash, true and false are words."""
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(str(each) for each in value)
    return str(value)


def told(answer: dict[str, Any], name: str, *, as_json: bool, added: bool = False) -> None:
    """Print what the API answered to a change: JSON, or one line about the thing of that name."""
    if as_json:
        emit_json(answer)
    else:
        click.echo(f"{name}: {'added' if added else 'changed' if answer['changed'] else 'unchanged'}")


def size(count: int | None) -> str | None:
    """Bytes for people, in powers of 1024: ``3.0 GiB``."""
    if count is None:
        return None
    amount, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while amount >= 1024 and unit != "PiB":
        amount, unit = amount / 1024, next(units)
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def age(moment: str | None, now: datetime | None = None) -> str | None:
    """How long ago a moment of the API (ISO 8601) was, in one unit: ``12 s``, ``5 min``, ``3 h``, ``40 d``."""
    if moment is None:
        return None
    passed = max(((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= 2 * length:
            return f"{int(passed // length)} {unit}"
    return f"{int(passed)} s"


def local_time(moment: str) -> str:
    """A moment of the API in the time zone of this terminal: ``2026-11-20 14:03:07``."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
