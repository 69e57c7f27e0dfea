# SPDX-License-Identifier: GPL-3.0-or-later
"""A node plane for each test. What it is made of is in ``node_world``: a module of that name is only here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_world import Clock, World, settings_in

from metalwright.config import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a controller that runs dnsmasq itself."""
    return settings_in(tmp_path)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """A node plane, empty but for its files."""
    made = World(settings, Clock())
    yield made
    made.store.engine.dispose()
