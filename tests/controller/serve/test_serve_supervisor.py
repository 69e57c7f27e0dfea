# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor with real processes: what dies comes back, what is stopped ends, and nothing outlives its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import processes
import pytest

PROGRAM = """
import os, signal, sys, time
from metalwright.serve import logs
logs.configure()
from metalwright.serve.children import Service
from metalwright.serve.supervisor import Supervisor

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def steady():
    say("steady", os.getpid())
    signal.pause()

def failing():
    say("failing", os.getpid())
    raise RuntimeError("no good")

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("stubborn", os.getpid())
    while True:
        signal.pause()

import metalwright.serve.supervisor as module
module.GRACE = 0.5
wanted = [Service(each, globals()[each]) for each in sys.argv[1:]]
died = lambda name, how, wait: say("died", name, how.replace(" ", "_"), wait)
Supervisor(wanted, died, lambda state: say("notify", state.split()[0]), lambda pids: say("hangup", *sorted(pids))).run()
say("returned")
"""


class Running:
    """The program and what it says."""

    def __init__(self, *services: str) -> None:
        command = [sys.executable, "-W", "error", "-c", PROGRAM, *services]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.said = self.process.stdout
        self._unheard: list[list[str]] = []

    def until(self, *beginning: str) -> list[str]:
        """The first line nobody has asked for yet that begins so, in words; processes may speak in any order."""
        while True:
            for index, words in enumerate(self._unheard):
                if words[: len(beginning)] == list(beginning):
                    return self._unheard.pop(index)
            line = self.said.readline()
            assert line, f"it ended without saying {beginning}"
            self._unheard.append(line.split())


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    started = Running(*request.param)
    yield started
    started.process.kill()
    started.process.wait()
    started.said.close()


@pytest.mark.parametrize("running", [["steady"]], indirect=True)
def test_a_killed_child_is_started_at_once_and_its_death_told(running: Running) -> None:
    first = int(running.until("steady")[1])
    running.until("notify", "READY=1")
    os.kill(first, signal.SIGKILL)
    assert running.until("died")[1:] == ["steady", "was_killed_by_SIGKILL", "0.0"]
    assert int(running.until("steady")[1]) != first


@pytest.mark.parametrize("running", [["failing"]], indirect=True)
def test_a_child_that_keeps_failing_is_started_later_each_time(running: Running) -> None:
    waits = [running.until("died")[2:] for _ in range(3)]
    assert waits == [["ended_with_code_1", "0.0"], ["ended_with_code_1", "0.5"], ["ended_with_code_1", "1.0"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("running", [["steady", "stubborn"]], indirect=True)
def test_all_end_when_it_is_told_to_stop(running: Running, number: signal.Signals) -> None:
    pids = [int(running.until("steady")[1]), int(running.until("stubborn")[1])]
    running.until("notify", "READY=1")
    running.process.send_signal(number)
    running.until("notify", "STOPPING=1")
    running.until("returned")
    assert running.process.wait(10) == 0
    assert not [pid for pid in pids if processes.lives(pid)]


@pytest.mark.parametrize("running", [["steady", "stubborn"]], indirect=True)
def test_the_kernel_ends_the_children_of_a_killed_supervisor(running: Running) -> None:
    pids = [int(running.until("steady")[1]), int(running.until("stubborn")[1])]
    running.process.kill()
    running.process.wait()
    processes.until(lambda: not any(processes.lives(pid) for pid in pids), "the children are gone")


@pytest.mark.parametrize("running", [["steady"]], indirect=True)
def test_a_hangup_is_passed_on(running: Running) -> None:
    running.until("notify", "READY=1")
    running.process.send_signal(signal.SIGHUP)
    assert running.until("hangup") == ["hangup", "steady"]
