# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of an engine that does not come up, that dies, that is silent; and the way back to its last good configuration."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metalwright.errors import Invalid, Unavailable
from metalwright.network.engines import Process
from metalwright.network.engines.configuration import Configuration
from metalwright.serve import engine_process
from metalwright.serve.engine_process import EngineProcess

_SERVER = """
. "$1"
[ "$fails" ] && { echo "no: $fails"; exit 2; }
[ "$silent" ] && exec sleep 60
trap 'exit 0' TERM
echo serving
while :; do sleep 0.01; done
"""


class Seen:
    """The events of a process."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def put(self, kind: str, message: str, data: dict[str, Any]) -> None:
        with self._changed:
            self.events.append((kind, message, data))
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=10), self.events


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    (tmp_path / "server").write_text(_SERVER)
    made = Configuration(tmp_path / "conf")
    made.write("one=1\n")
    return made


def running(configuration: Configuration, seen: Seen) -> EngineProcess:
    command = ("sh", str(configuration.path.parent / "server"), str(configuration.path))

    def hear(line: str) -> str:
        seen.put("log", line, {})
        return line

    process = Process("server", command, configuration, re.compile("^serving"), hear)
    return EngineProcess(process, lambda _seen: None, seen.put)


def of(seen: Seen, kind: str) -> list[str]:
    return [message for found, message, _ in seen.events if found == kind]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def server(configuration: Configuration, seen: Seen) -> Iterator[EngineProcess]:
    made = running(configuration, seen)
    made.start()
    seen.wait(lambda: configuration.good() == "one=1\n")
    yield made
    made.stop()
    made.join()


def restart(server: EngineProcess, configuration: Configuration, text: str) -> None:
    configuration.write(text)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGTERM)
    configuration.await_judgement(text, "server", 10)


def test_a_new_configuration_is_judged_by_the_start(server: EngineProcess, configuration: Configuration, seen: Seen) -> None:
    restart(server, configuration, "one=2\n")
    assert configuration.good() == "one=2\n"
    assert of(seen, "service.restarted") == []


def test_one_that_does_not_come_up_is_rolled_back_and_says_why(
    server: EngineProcess, configuration: Configuration, seen: Seen
) -> None:
    with pytest.raises(Invalid, match="server did not come up with its new configuration: no: port 53 is taken") as caught:
        restart(server, configuration, "fails='port 53 is taken'\n")
    assert caught.value.code == "network_rolled_back"
    seen.wait(lambda: len(of(seen, "log")) >= 3)
    assert configuration.text() == configuration.good() == "one=1\n"
    assert of(seen, "network.rolled_back") == [
        "server did not come up with its new configuration (no: port 53 is taken) and goes on with the last good one"
    ]
    with pytest.raises(Invalid, match="port 53 is taken"):
        configuration.check_not_refused("fails='port 53 is taken'\n", "server")
    configuration.forget_refusal()
    configuration.check_not_refused("fails='port 53 is taken'\n", "server")


def test_one_that_is_silent_is_rolled_back(
    server: EngineProcess, configuration: Configuration, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "START_SECONDS", 0.2)
    with pytest.raises(Invalid, match="was killed by SIGKILL"):
        restart(server, configuration, "silent=1\n")


def test_one_that_is_killed_comes_back_with_what_it_had(server: EngineProcess, configuration: Configuration, seen: Seen) -> None:
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    seen.wait(lambda: of(seen, "log").count("serving") == 2)
    assert server.pid != killed
    assert of(seen, "service.restarted") == ["service server was killed by SIGKILL (serving) and is started again"]
    assert configuration.good() == "one=1\n"


def test_what_was_written_by_one_who_died_before_the_restart_is_judged_as_well(configuration: Configuration, seen: Seen) -> None:
    configuration.accept("one=1\n")
    configuration.write("fails=so\n")
    made = running(configuration, seen)
    made.start()
    seen.wait(lambda: "serving" in of(seen, "log"))
    assert configuration.text() == "one=1\n"
    made.stop()
    made.join()


def test_the_first_configuration_has_nothing_to_go_back_to(configuration: Configuration, seen: Seen) -> None:
    configuration.write("fails=so\n")
    made = running(configuration, seen)
    made.start()
    seen.wait(lambda: len(of(seen, "service.restarted")) == 2)
    assert configuration.text() == "fails=so\n"
    configuration.write("one=3\n")
    seen.wait(lambda: "serving" in of(seen, "log"))
    made.stop()
    made.join()


def test_nobody_starts_it(configuration: Configuration) -> None:
    with pytest.raises(Unavailable, match="has not come up") as caught:
        configuration.await_judgement("one=1\n", "server", 0)
    assert caught.value.code == "engine_silent"
