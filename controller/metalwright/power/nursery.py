# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the processes of power calls come from: one that has the libraries loaded already, and forks (``metalwright.calls``).

Starting Python and loading a library costs 0.1 to 0.4 s of CPU for each call, forking some milliseconds. The nursery is started
with the first call that this process makes, and again when it has died.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

_REPLY = 64


@dataclass(frozen=True)
class Ended:
    """How a call's process ended; ``status`` None: not in time, and it was killed."""

    output: bytes
    complaint: bytes
    status: int | None


class Nursery:
    """Runs calls, any number at once from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if there is one."""
        return self._process.pid if self._process else None

    def run(self, name: str, said: bytes, timeout: float) -> Ended:
        """Have a process do the call of that name, which reads ``said``. Raises ``OSError`` when none can be started."""
        with _file(said) as given, _file() as output, _file() as complaint:
            files = [given.fileno(), output.fileno(), complaint.fileno()]
            with self._lock:
                pid = self._ask(name, files)
                nursery = self._socket
            in_time = _wait(pid, timeout)
            with self._lock:
                status = None
                if nursery is self._socket:  # else it has died, and its calls are nobody's
                    with suppress(OSError, ValueError):
                        status = int(self._exchange(f"end {pid}", []))
            return Ended(_content(output), _content(complaint), status if in_time else None)

    def _ask(self, name: str, files: list[int]) -> int:
        try:
            return int(self._exchange(name, files))
        except (OSError, ValueError):  # never started, or died
            self._start()
            return int(self._exchange(name, files))

    def _exchange(self, message: str, files: list[int]) -> bytes:
        if self._socket is None:
            raise ConnectionError("there is no nursery")
        socket.send_fds(self._socket, [message.encode()], files)
        answer = self._socket.recv(_REPLY)
        if not answer:
            raise ConnectionError("the nursery is gone")
        return answer

    def _start(self) -> None:
        self.stop()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "metalwright.calls"]
        with its:
            self._process = subprocess.Popen(
                command, stdin=its.fileno(), env=_without_proxies(os.environ), start_new_session=True
            )
        self._socket = ours

    def stop(self) -> None:
        """End it; the next call starts another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None

    def forget(self) -> None:
        """In a child after a fork: the nursery is the parent's."""
        self.__init__()  # type: ignore[misc]


def _wait(pid: int, timeout: float) -> bool:
    """Whether a process ends in time. It need not be a child of ours; that its id is still its own, the nursery sees to."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:  # the nursery has died, and init has taken it
        return True
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(watched)


def _file(content: bytes = b"") -> IO[bytes]:
    file = os.fdopen(os.memfd_create("call"), "w+b", buffering=0)
    file.write(content)
    file.seek(0)
    return file


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """BMCs are reached directly, whatever the host uses for the world outside."""
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}


NURSERY = Nursery()
os.register_at_fork(after_in_child=NURSERY.forget)
