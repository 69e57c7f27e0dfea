# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of an engine is started again and followed, whatever went wrong around it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import lives, until

from metalwright.network.engines import Process
from metalwright.network.engines.configuration import Configuration
from metalwright.serve.engine_process import EngineProcess

SERVER = "#!/bin/sh\necho serving\necho odd\nwhile :; do echo on; sleep 0.01; done\n"


class Server:
    """A process whose program is ``program``; what it says and what is reported of it."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "server"
        self.configuration = Configuration(directory / "conf")
        self.configuration.write("one=1\n")
        self.heard: list[str] = []
        self.reports: list[str] = []
        process = Process("server", (str(self.program),), self.configuration, re.compile("^serving"), self._hear)
        self.running = EngineProcess(process, lambda _seen: None, self._report)

    def install(self) -> None:
        """Put the program where it is looked for, whole."""
        fresh = self.program.with_name("fresh")
        fresh.write_text(SERVER)
        fresh.chmod(0o755)
        fresh.rename(self.program)

    def _hear(self, line: str) -> str:
        self.heard.append(line)
        if line == "odd":
            raise ValueError("nobody foresaw this line")
        return line

    def _report(self, _kind: str, message: str, _data: dict[str, Any]) -> None:
        self.reports.append(message)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.running.stop()
    made.running.join()


def test_one_that_could_not_be_started_is_started_later(server: Server) -> None:
    server.running.start()
    until(lambda: len(server.reports) == 2, "it was tried twice")
    assert "could not be run" in server.reports[0] and "No such file" in server.reports[0]
    assert server.reports[0].endswith("and is started again")
    server.install()
    until(lambda: server.configuration.good() == "one=1\n", "it serves")


def test_a_full_disk_and_an_odd_line_end_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Configuration, _text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Configuration, "accept", full)
    server.install()
    server.running.start()
    until(lambda: server.heard.count("on") > 2, "what it says is heard")
    assert server.running.pid is not None and lives(server.running.pid)
    assert server.heard[0] == "odd"
    assert server.reports == []
