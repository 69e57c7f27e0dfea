# SPDX-License-Identifier: GPL-3.0-or-later
"""A BMC on a loopback port, in a process of its own, with a machine that is only a memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
from multiprocessing.connection import Connection
from typing import Any, Self

from metalwright.lab.bmc import BootFlags, LabBmc, PowerAction, listen


class PaperMachine:
    """Changes its power state at once, unless it is stuck; remembers what it was told."""

    def __init__(self) -> None:
        self.on = False
        self.stuck = False
        self.actions: list[PowerAction] = []
        self.flags = BootFlags()

    def powered(self) -> bool:
        return self.on

    def power(self, action: PowerAction) -> None:
        self.actions.append(action)
        if not self.stuck and action in ("on", "off"):
            self.on = action == "on"

    def boot_flags(self) -> BootFlags:
        return self.flags

    def set_boot_flags(self, flags: BootFlags) -> None:
        self.flags = flags


def _run(port: int, pipe: Connection) -> None:
    machine = PaperMachine()
    bmc = LabBmc(machine, "admin", "calvin", "127.0.0.1", port)
    threading.Thread(target=listen, daemon=True).start()
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            name, value = pipe.recv()
            if name == "reset":
                machine.__init__()  # type: ignore[misc]
            elif name == "set":
                setattr(machine, *value)
            pipe.send(len(bmc.clients) if name == "sessions" else getattr(machine, name, None))


class Bench:
    """Context manager: a BMC at 127.0.0.1 ``port``, user admin, password calvin."""

    def __init__(self, port: int | None = None) -> None:
        if port is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
        self.port: int = port

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(self.port, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def _ask(self, name: str, value: Any = None) -> Any:
        self._pipe.send((name, value))
        return self._pipe.recv()

    def reset(self) -> None:
        """Make the machine as new: off, no boot flags."""
        self._ask("reset")

    def set(self, name: str, value: Any) -> None:
        """Set an attribute of the machine."""
        self._ask("set", (name, value))

    @property
    def actions(self) -> list[str]:
        """What the machine was told, in order."""
        return list(self._ask("actions"))

    def boot_flags(self) -> BootFlags:
        """Return the boot flags that the machine keeps."""
        flags: BootFlags = self._ask("flags")
        return flags

    def sessions(self) -> int:
        """Return how many sessions the BMC remembers."""
        return int(self._ask("sessions"))
