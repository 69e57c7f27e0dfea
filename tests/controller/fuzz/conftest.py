# SPDX-License-Identifier: GPL-3.0-or-later
"""Anything at all, sent to everything that listens: no 5xx, no dead process, nothing that grows without bound.

``make fuzz`` tries many more cases; see ``amounts``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "network"))
sys.path.append(str(Path(__file__).parents[1] / "node"))

import amounts


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What a process of several has tried is told to the one that prints."""
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["fuzz"] = amounts.told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    amounts.add(getattr(node, "workeroutput", {}).get("fuzz", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if amounts.CASES:
        terminalreporter.section("fuzz: cases by target")
        for line in amounts.table():
            terminalreporter.write_line(line)
