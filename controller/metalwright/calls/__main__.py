# SPDX-License-Identifier: GPL-3.0-or-later
"""The nursery of power calls: has their libraries loaded, and forks a process for each call.

It is spoken to by its parent over the socket that is its standard input, a message at a time (unix(7), SOCK_SEQPACKET):

    NAME, with the files that are to be the call's standard input, output and error  ->  its process id
    end PID                                                                          ->  how it ended, killed if it has not yet

A call's process is waited for only when it is ended, so its id means nothing else until then. The nursery ends with its parent.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from importlib import import_module

from metalwright.calls.conversation import carry_out

_LONGEST = 256


def main() -> None:
    """Serve until the other side is gone."""
    with socket.socket(fileno=os.dup(0)) as parent:
        while True:
            message, files, *_ = socket.recv_fds(parent, _LONGEST, 3)
            if not message:
                return
            verb, _, argument = message.decode().partition(" ")
            if verb == "end":
                parent.send(str(_end(int(argument))).encode())
                continue
            with suppress(Exception):  # what is wrong with it, its call will say
                import_module(f"metalwright.calls.{verb}")
            pid = os.fork()
            if pid == 0:
                parent.close()
                _be_the_call(verb, files)
            for file in files:
                os.close(file)
            parent.send(str(pid).encode())


def _be_the_call(name: str, files: list[int]) -> None:
    """Become a session of its own, so that whatever the call starts can be ended with it; never returns."""
    status = 1
    try:
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        carry_out(import_module(f"metalwright.calls.{name}").converse)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as a second nursery
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end(pid: int) -> int:
    """Kill what is left of a call and its session, an ssh of libvirt's too; return its exit status, negative for a signal."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)  # it has not come as far as its own session
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
