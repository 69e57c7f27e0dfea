# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller for every test that serves, stopped whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running_controller import RunningController


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[RunningController]:
    """Initialised, not started."""
    made = RunningController(tmp_path)
    yield made
    made.stop()
