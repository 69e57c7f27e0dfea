# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack daemon's processes: kept alive, and gone when it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metalwright.lab.children import Child, Children


def eventually(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextmanager
def running(directory: Path, *wanted: Child) -> Iterator[Children]:
    children = Children(wanted, directory)
    thread = threading.Thread(target=children.run)
    thread.start()
    try:
        yield children
    finally:
        children.stop()
        thread.join()


def test_a_child_that_ends_is_started_again_and_one_that_lives_is_left_alone(tmp_path: Path) -> None:
    dying, living = Child("dying", ["sh", "-c", "echo life"]), Child("living", ["sleep", "1000"])
    with running(tmp_path, dying, living) as children:
        eventually(lambda: children.status()["dying"]["restarts"] >= 2, "it is started again")
        status = children.status()["living"]
        assert status["restarts"] == 0
    assert (tmp_path / "dying.log").read_text().count("life") >= 2
    assert not Path(f"/proc/{status['pid']}").exists()


def test_a_child_gets_its_secret_by_standard_input(tmp_path: Path) -> None:
    with running(
        tmp_path, Child("reader", ["sh", "-c", "read -r secret; echo got $secret; sleep 1000"], line="xyzzy")
    ) as children:
        log = tmp_path / "reader.log"
        eventually(lambda: log.exists() and "got xyzzy" in log.read_text(), "it reads it")
        assert b"xyzzy" not in Path(f"/proc/{children.status()['reader']['pid']}/cmdline").read_bytes()


def test_children_end_when_the_daemon_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from metalwright.lab.children import Child, Children\n"
        "Children([Child('one', ['sh', '-c', 'echo $$; exec sleep 1000'])], Path(sys.argv[1])).run()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.DEVNULL) as daemon:
        log = tmp_path / "one.log"
        eventually(lambda: log.exists() and log.read_text().strip(), "the child runs")
        child = int(log.read_text())
        os.kill(daemon.pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{child}").exists(), "the child ends")


def test_what_a_dead_child_left_behind_goes_with_it(tmp_path: Path) -> None:
    leaves = Child("leaves", ["sh", "-c", "sleep 1000 & echo $!; wait"])
    with running(tmp_path, leaves) as children:
        log = tmp_path / "leaves.log"
        eventually(lambda: log.exists() and log.read_text().strip(), "it has started another")
        left = int(log.read_text().split()[0])
        eventually(lambda: children.status()["leaves"]["pid"], "it is told")
        os.kill(children.status()["leaves"]["pid"], signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{left}").exists(), "the other ends")
        eventually(lambda: len(log.read_text().split()) == 2, "it has done so again")
    eventually(lambda: not Path(f"/proc/{log.read_text().split()[1]}").exists(), "the second ends with all")
