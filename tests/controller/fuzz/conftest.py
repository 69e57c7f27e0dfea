# SPDX-License-Identifier: GPL-3.0-or-later
"""Anything at all, sent to everything that listens: no 5xx, no dead process, nothing that grows without bound.

``make fuzz`` tries many more cases; see ``amounts``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "network"))
sys.path.append(str(Path(__file__).parents[1] / "node"))

import amounts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if amounts.CASES:
        terminalreporter.section("fuzz: cases by target")
        for line in amounts.table():
            terminalreporter.write_line(line)
