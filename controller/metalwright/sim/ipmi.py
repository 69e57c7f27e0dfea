# SPDX-License-Identifier: GPL-3.0-or-later
"""The BMCs of a fleet by IPMI 2.0 over UDP: the lab's BMC, one process each, hundreds of them.

pyghmi's server knows a session by the client's address alone, so two BMCs in one process could mix up what a client says to both
(``lab/bmc.py``). A process that is forked from one that has loaded everything shares nearly all of its memory; it asks the
simulator over a socket, as the lab's BMCs ask the rack daemon. Each has an address of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from metalwright.lab.bmc import BootFlags, LabBmc, PowerAction, RackHost, listen
from metalwright.serve.linux import die_with
from metalwright.sim.bmc import act
from metalwright.sim.machine import Machine
from metalwright.sim.wishes import Mood, Wishes

USER = "admin"
PORT = 9623
_READY = "ready"


class IpmiBmcs:
    """All BMCs; ``directory`` is a private one for the socket, ``network`` has an address for each that this host answers to."""

    def __init__(self, machines: Sequence[Machine], wishes: Wishes, directory: Path, network: IPv4Network) -> None:
        self._machines = machines
        self._network = network
        self._wishes = wishes
        self._socket = directory / "bmcs"
        self._password = secrets.token_hex(8)
        self._flags: dict[str, dict[str, Any]] = {}
        self._by_name = {machine.name: machine for machine in machines}
        self._server: asyncio.Server | None = None
        self._nursery: subprocess.Popen[bytes] | None = None

    async def open(self) -> None:
        """Start them; returns when all listen. Raises ``OSError`` when one can not."""
        self._server = await asyncio.start_unix_server(self._converse, self._socket, backlog=1024)
        self._socket.chmod(0o600)
        told = [
            (machine.name, self._address(machine.number), mood)
            for machine in self._machines
            if (mood := self._wishes.mood(machine.number)) != "never"
        ]
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid()), str(self._socket), str(self._wishes.late)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if not await asyncio.to_thread(_tell, self._nursery, {"password": self._password, "bmcs": told}):
            raise OSError("the BMCs could not be started")

    def close(self) -> None:
        """End them."""
        if self._nursery is not None:
            with self._nursery as nursery:
                nursery.terminate()
        if self._server is not None:
            self._server.close()

    def power(self, number: int) -> dict[str, Any]:
        """``power`` of a machine in the API."""
        where = {"address": self._address(number), "port": PORT, "username": USER, "password": self._password}
        return {"driver": "ipmi", "parameters": where}

    def _address(self, number: int) -> str:
        return str(self._network[number + 1])

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question, as ``lab.control`` puts it."""
        try:
            said = json.loads(await reader.readline())
            writer.write(json.dumps({"result": self._answer(said)}).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            return
        finally:
            writer.close()

    def _answer(self, said: dict[str, Any]) -> Any:
        machine, call = self._by_name[said["machine"]], said["call"]
        if call == "powered":
            return machine.powered
        if call == "boot_flags":
            return self._flags.get(machine.name, vars(BootFlags()))
        if call == "set_boot_flags":
            self._flags[machine.name] = said["flags"]
        elif call == "power":
            act(machine, said["action"])
        return None


def _tell(nursery: subprocess.Popen[bytes], what: dict[str, Any]) -> bool:
    """Say which BMCs there are to be, and wait until they listen; False when they do not."""
    assert nursery.stdin is not None  # noqa: S101 - they were opened with pipes
    assert nursery.stdout is not None  # noqa: S101
    nursery.stdin.write(json.dumps(what).encode() + b"\n")
    nursery.stdin.flush()
    return nursery.stdout.readline().decode().strip() == _READY


class _LateHost(RackHost):
    """A machine whose BMC takes its time."""

    seconds = 0.0

    def powered(self) -> bool:
        time.sleep(self.seconds)
        return super().powered()

    def power(self, action: PowerAction) -> None:
        time.sleep(self.seconds)
        super().power(action)


def _answer_twice() -> None:
    """Have pyghmi send each datagram of this process two times."""
    from pyghmi.ipmi.private import session

    once = session._io_sendto

    def twice(*arguments: Any) -> None:
        once(*arguments)
        once(*arguments)

    session._io_sendto = twice


def _be_one(socket: Path, machine: str, address: str, password: str, mood: Mood, late: float, ready: int) -> None:
    host = _LateHost(socket, machine)
    host.seconds = late if mood == "late" else 0.0
    if mood == "twice":
        _answer_twice()
    LabBmc(host, USER, password, address, PORT)
    os.write(ready, b"\0")
    os.close(ready)
    listen()


def main() -> None:
    """Arguments PARENT SOCKET SECONDS; the BMCs come on standard input. Ends with all of them when its parent does."""
    die_with(int(sys.argv[1]))
    socket, late = Path(sys.argv[2]), float(sys.argv[3])
    told = json.loads(sys.stdin.readline())
    nursery = os.getpid()
    reading, writing = os.pipe()
    for machine, address, mood in told["bmcs"]:
        if os.fork() == 0:
            die_with(nursery)
            os.close(reading)
            _be_one(socket, machine, address, told["password"], mood, late, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        listening = len(answers.read())
    print(_READY if listening == len(told["bmcs"]) else "not all", flush=True)  # noqa: T201
    signal.pause()


if __name__ == "__main__":
    main()
