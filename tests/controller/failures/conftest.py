# SPDX-License-Identifier: GPL-3.0-or-later
"""One controller for each file of failures, and the table of all of them at the end of the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "serve"))
sys.path.append(str(Path(__file__).parent.parent / "power"))

import verdicts
from site_under_test import Site
from tiny_disks import MIB, loop_disk

from metalwright.agent.disks import Disk


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        made.open()
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def _mended(site: Site) -> Iterator[None]:
    yield
    site.cable.mend()


@pytest.fixture(scope="module")
def image(site: Site) -> str:
    """Name of an image that a BIOS starts."""
    return site.add_image("good/1")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 64 MiB that works."""
    with loop_disk(tmp_path / "disk", 64 * MIB) as made:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if len(verdicts.ALL):
        terminalreporter.section("failures and their verdicts")
        terminalreporter.write_line(verdicts.ALL.table())
