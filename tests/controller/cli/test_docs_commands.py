# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that the documentation names are there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from metalwright.cli.root import root

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.name != "decisions.md")


def unknown(words: list[str]) -> str | None:
    """The first of these words that stands where a command should, and is none."""
    command: click.Command = root
    context = click.Context(root)
    for word in words:
        if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z][a-z-]*", word):
            return None
        found = command.get_command(context, word)
        if found is None:
            return word
        command = found
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_command_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"(?:^ {4}|^\$ (?:sudo )?|`)metalwright ([^`\n]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [line for line in named if unknown(line.split())] == []
