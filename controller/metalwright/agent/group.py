# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of somebody else's, with all that it starts: bounded in time and output, and gone when it ends.

It runs in a session and process group of its own. Whatever of the group is left when the program itself has ended is killed.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from .abort import Abort

TAIL_BYTES = 64 << 10
GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL."""
_DRAIN = 1.0
"""Seconds to read what the last processes printed; who left the group may hold the pipe open for ever."""
_DYING = 10.0
"""Seconds until SIGKILL must have worked. It does not on a process that waits for a disk which does not answer."""
_KILL_FIRST = "1000"


class Tail:
    """The last ``TAIL_BYTES`` of what comes out of a pipe; it never holds more. Read by one thread, looked at by others."""

    def __init__(self) -> None:
        self._ring = bytearray(TAIL_BYTES)
        self._total = 0
        self._lock = threading.Lock()

    def read(self, pipe: int) -> bool:
        """Take what can be read now; False at the end."""
        at = self._total % TAIL_BYTES
        with self._lock, memoryview(self._ring) as view:
            count = os.readv(pipe, [view[at:]])
            self._total += count
        return count > 0

    def content(self) -> bytes:
        """Return the end of all that was read."""
        with self._lock:
            at = self._total % TAIL_BYTES
            return bytes(self._ring[:at] if self._total < TAIL_BYTES else self._ring[at:] + self._ring[:at])


class Ended(NamedTuple):
    """How a program ended."""

    status: int | None
    """Its exit status, or the negative number of the signal it died of; None when not even SIGKILL ended it."""
    timed_out: bool
    seconds: float


def run_group(
    arguments: Sequence[str],
    abort: Abort,
    tail: Tail,
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    grace: float = GRACE,
) -> Ended:
    """Run a program to its end or to its ``timeout`` (seconds); both its output streams go into ``tail`` in the order written.

    Raises ``OSError`` when it can not be started and ``Aborted``, after the program was ended in the same way as at its timeout.
    """
    abort.check()
    began = time.monotonic()
    with ExitStack() as stack:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
            env=env,
        )
        with suppress(OSError):  # a program that eats all memory must not take the agent with it
            Path(f"/proc/{process.pid}/oom_score_adj").write_text(_KILL_FIRST, encoding="ascii")
        assert process.stdout is not None  # noqa: S101 - by PIPE
        stack.enter_context(process.stdout)
        woken = os.eventfd(0)
        stack.callback(os.close, woken)
        stack.enter_context(abort.cancelling(lambda: os.eventfd_write(woken, 1)))
        timed_out = _follow(process, process.stdout.fileno(), woken, tail, began + timeout, grace)
    abort.check()
    return Ended(process.returncode, timed_out, time.monotonic() - began)


def _follow(process: subprocess.Popen[bytes], pipe: int, woken: int, tail: Tail, deadline: float, grace: float) -> bool:
    """Read and wait until the program and its group are gone; return whether it was ended for its deadline."""
    lives = os.pidfd_open(process.pid)
    poll = select.poll()
    for watched in (pipe, lives, woken):
        poll.register(watched, select.POLLIN)
    open_ends = {pipe, lives}
    asked = killed = timed_out = False
    while open_ends:
        ready = {which for which, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        if pipe in ready and not tail.read(pipe):
            poll.unregister(pipe)
            open_ends.discard(pipe)
        if lives in ready:
            process.wait()
            poll.unregister(lives)
            open_ends.discard(lives)
            if not asked:
                _signal(process, signal.SIGKILL)
            if not asked or killed:
                killed, deadline = True, time.monotonic() + _DRAIN
        if woken in ready:
            poll.unregister(woken)
        late = time.monotonic() >= deadline
        if late and killed:
            break
        if late and asked:
            _signal(process, signal.SIGKILL)
            killed, deadline = True, time.monotonic() + (_DYING if lives in open_ends else _DRAIN)
        elif (late or woken in ready) and not asked and not killed:
            _signal(process, signal.SIGTERM)
            asked, timed_out, deadline = True, late, time.monotonic() + grace
    if not killed:
        _signal(process, signal.SIGKILL)
    os.close(lives)
    return timed_out


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the group; the number of a group stays its own as long as one of it lives."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
