# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference pages say what the code does: written by the script beside them, and up to date."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
PAGES = runpy.run_path(str(REFERENCE / "generate.py"))["PAGES"]


@pytest.mark.parametrize("filename", sorted(PAGES))
def test_the_page_is_what_the_code_says(filename: str) -> None:
    written = (REFERENCE / filename).read_text(encoding="utf-8")
    assert written == PAGES[filename](), f"run python docs/reference/generate.py and commit {filename}"


def test_every_option_of_every_command_has_words() -> None:
    assert "| |" not in PAGES["cli.md"]().replace("|  |", "| |")
