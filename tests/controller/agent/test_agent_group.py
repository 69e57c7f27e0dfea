# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of somebody else's: bounded in time and output, and nothing of them is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metalwright.agent.abort import Abort
from metalwright.agent.errors import Aborted
from metalwright.agent.group import TAIL_BYTES, Ended, Tail, run_group

Sh = Callable[..., tuple[Ended, str]]


@pytest.fixture
def sh(tmp_path: Path, abort: Abort) -> Sh:
    """Run a line of shell and return how it ended and what it printed."""

    def run(line: str, timeout: float = 20, grace: float = 5) -> tuple[Ended, str]:
        tail = Tail()
        ended = run_group(
            ["sh", "-c", line], abort, tail, cwd=tmp_path, env={**os.environ, "A": "b"}, timeout=timeout, grace=grace
        )
        return ended, tail.content().decode()

    return run


def lives(pid: int) -> bool:
    """A zombie does not: nobody but its parent can wait for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pid_file: Path) -> None:
    pid = int(pid_file.read_text())
    end = time.monotonic() + 5
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not lives(pid)


def test_both_streams_are_kept_in_the_order_written(sh: Sh) -> None:
    ended, printed = sh("echo 1; echo 2 >&2; echo $A; echo 4 >&2; exit 3")
    assert (ended.status, ended.timed_out) == (3, False)
    assert printed == "1\n2\nb\n4\n"


def test_it_reads_nothing_and_owns_its_process_group(sh: Sh, tmp_path: Path) -> None:
    ended, printed = sh("cat; pwd; ps -o pid=,pgid=,sid= -p $$")
    where, numbers = printed.splitlines()
    assert ended.status == 0
    assert where == str(tmp_path)
    assert len(set(numbers.split())) == 1


@pytest.mark.parametrize("more", [-1, 0, 1, 70_000, 200_000])
def test_of_much_output_the_end_is_kept(more: int, sh: Sh) -> None:
    size = TAIL_BYTES + more
    ended, printed = sh(f"yes 0123456789abcde | head -c {size - 4}; echo end")
    whole = ("0123456789abcde\n" * (size // 16 + 1))[: size - 4] + "end\n"
    assert ended.status == 0
    assert printed == whole[-TAIL_BYTES:]


def test_a_tail_never_holds_more(tmp_path: Path) -> None:
    tail = Tail()
    source, sink = os.pipe()
    for number in range(40):
        os.write(sink, f"{number:04}".encode() * 1000)
        assert tail.read(source)
        assert len(tail.content()) <= TAIL_BYTES
    os.close(sink)
    while tail.read(source):
        pass
    os.close(source)
    assert tail.content().endswith(b"0039" * 1000)
    assert len(tail.content()) == TAIL_BYTES


def test_a_program_that_is_too_slow_is_asked_to_end(sh: Sh, tmp_path: Path) -> None:
    ended, printed = sh("trap 'echo cleaned up; exit 0' TERM; echo $$ > pid; sleep 60 & wait", timeout=0.3)
    assert ended.timed_out
    assert ended.seconds < 5
    assert printed == "cleaned up\n"
    assert_gone(tmp_path / "pid")


def test_a_program_that_does_not_listen_is_killed_with_all_its_children(sh: Sh, tmp_path: Path) -> None:
    child = "sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 1; done'"
    ended, _ = sh(f"trap '' TERM; {child} & echo waiting; while :; do wait; done", timeout=0.5, grace=0.3)
    assert ended.timed_out
    assert ended.status == -9
    assert_gone(tmp_path / "child")


def test_what_a_program_leaves_in_the_background_ends_with_it(sh: Sh, tmp_path: Path) -> None:
    ended, printed = sh("sleep 600 & echo $! > pid; echo done")
    assert ended.status == 0
    assert ended.seconds < 5
    assert printed == "done\n"
    assert_gone(tmp_path / "pid")


def test_who_leaves_the_group_does_not_hold_up_the_end(sh: Sh, tmp_path: Path) -> None:
    ended, printed = sh("setsid sh -c 'echo $$ > pid; exec sleep 600' & until [ -s pid ]; do sleep 0.01; done; echo done")
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert ended.status == 0
    assert ended.seconds < 10
    assert printed == "done\n"


def test_an_abort_ends_it(tmp_path: Path, abort: Abort) -> None:
    ready = tmp_path / "pid"

    def ask() -> None:
        while not ready.exists() or not ready.read_text():
            time.sleep(0.01)
        abort.ask("enough")

    thread = threading.Thread(target=ask)
    thread.start()
    began = time.monotonic()
    with pytest.raises(Aborted, match="enough"):
        run_group(["sh", "-c", "echo $$ > pid; exec sleep 600"], abort, Tail(), cwd=tmp_path, env=os.environ, timeout=600)
    thread.join()
    assert time.monotonic() - began < 10
    assert_gone(ready)


def test_nothing_is_left_open(sh: Sh) -> None:
    sh("true")
    before = sorted(Path("/proc/self/fd").iterdir())
    sh("true")
    sh("sleep 60", timeout=0.05)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
