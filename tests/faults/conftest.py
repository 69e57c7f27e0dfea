# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults at small size, or as large as they are meant to be with --full; the table of all of them at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "controller"))
sys.path.append(str(Path(__file__).parents[1] / "controller" / "serve"))
sys.path.append(str(Path(__file__).parents[1] / "controller" / "failures"))

import played
from played import POSTGRESQL, SQLITE
from postgres import PostgresServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="200 machines and more, instead of what a minute allows")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "large: left out at small size, where its fault is met otherwise")


@pytest.fixture
def machines(request: pytest.FixtureRequest) -> int:
    """How many a fault meets."""
    return 200 if request.config.getoption("--full") else 8


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often processes are killed."""
    return 60 if request.config.getoption("--full") else 4


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.large)])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the database that controllers of this test have, which are made of the environment."""
    if request.param == POSTGRESQL:
        monkeypatch.setenv("METALWRIGHT_DATABASE_URL", request.getfixturevalue("postgres_server").fresh())
    return str(request.param)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if played.ROWS:
        terminalreporter.section("faults")
        for line in played.table():
            terminalreporter.write_line(line)
