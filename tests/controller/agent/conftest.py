# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent's tests share: the controller's side, and a machine made of files and loop devices."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from controller_side import TOKEN, ControllerSide

from metalwright.agent.abort import Abort
from metalwright.agent.client import Client
from metalwright.agent.console import Console
from metalwright.agent.disks import Disk
from metalwright.agent.work import Work


@pytest.fixture
def side() -> Iterator[ControllerSide]:
    side = ControllerSide()
    yield side
    side.close()


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(printed: io.StringIO) -> Console:
    return Console(printed, secret=TOKEN)


@pytest.fixture
def abort() -> Abort:
    return Abort()


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that were asked for; none is made."""
    return []


@pytest.fixture
def client(side: ControllerSide, console: Console, abort: Abort, pauses: list[float]) -> Client:
    return Client(side.url, console, abort, pauses.append)


@pytest.fixture
def work_on(client: Client, console: Console, abort: Abort) -> Callable[..., Work]:
    """Return the surroundings of a step on a machine with these disks and partitions."""

    def make(*disks: Disk, partitions: list[Path] | None = None, firmware: str = "bios") -> Work:
        def report(step: str, percent: float = 0, message: str = "", done_bytes: int = 0, total_bytes: int = 0) -> None:
            assert 0 <= percent <= 100

        return Work(console, abort, client, report, firmware, lambda: list(disks), lambda _disk: partitions or [])

    return make


@pytest.fixture
def loop() -> Iterator[Callable[..., Path]]:
    """Make loop devices of files, or of parts of them."""
    made: list[str] = []

    def make(path: Path, offset: int = 0, size: int = 0) -> Path:
        limits = ["--offset", str(offset), "--sizelimit", str(size)] if size else []
        command = ["losetup", "--find", "--show", "--nooverlap", *limits, str(path)]
        device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        made.append(device)
        return Path(device)

    yield make
    for device in made:
        subprocess.run(["losetup", "--detach", device], check=True)
