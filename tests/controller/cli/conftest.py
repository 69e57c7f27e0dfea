# SPDX-License-Identifier: GPL-3.0-or-later
"""One real controller for all commands: they do not disturb each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "serve"))
from running_controller import RunningController


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    made = RunningController(tmp_path_factory.mktemp("controller"))
    made.start()
    yield made
    made.stop()
