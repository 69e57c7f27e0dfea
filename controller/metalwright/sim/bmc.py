# SPDX-License-Identifier: GPL-3.0-or-later
"""The BMCs of a fleet, as one small web server: the controller asks them by its power driver ``webhook``.

``GET /NUMBER`` tells the state, ``POST /NUMBER/on``, ``/off`` and ``/cycle`` change it. One that is late answers late; one that
answers twice sends every answer two times on the wire and carries the request out twice; one that never does holds the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, get_args

from metalwright.sim.machine import Machine
from metalwright.sim.tally import Tally
from metalwright.sim.wishes import Wishes

Action = Literal["on", "off", "cycle"]
_NEVER = 3600.0


class WebBmcs:
    """Listens on ``host``; ``parameters`` is what the controller is told of one machine's."""

    def __init__(self, machines: Sequence[Machine], wishes: Wishes, tally: Tally, host: str = "127.0.0.1") -> None:
        self._machines = machines
        self._wishes = wishes
        self._tally = tally
        self._host = host
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen, on a port that is free."""
        self._server = await asyncio.start_server(self._converse, self._host, 0, backlog=1024)

    def close(self) -> None:
        """End."""
        if self._server is not None:
            self._server.close()

    def power(self, number: int) -> dict[str, Any]:
        """``power`` of a machine in the API."""
        assert self._server is not None  # noqa: S101 - opened before anybody is told of it
        base = f"http://{self._host}:{self._server.sockets[0].getsockname()[1]}/{number}"
        urls = {f"{action}_url": f"{base}/{action}" for action in get_args(Action)}
        return {"driver": "webhook", "parameters": {**urls, "query_url": base}}

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, said, copies = await self._answer(head.split(None, 2)[1])
            text = f"HTTP/1.1 {status}\r\nContent-Length: {len(said)}\r\nConnection: close\r\n\r\n{said}"
            writer.write(text.encode() * copies)
            await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            self._tally.events["BMC: broken connections"] += 1
        finally:
            writer.close()

    async def _answer(self, path: str) -> tuple[str, str, int]:
        _, number, action, *_ = f"{path}/".split("/")
        if not number.isdecimal() or int(number) >= len(self._machines) or action not in ("", *get_args(Action)):
            return "404 Not Found", "", 1
        machine, mood = self._machines[int(number)], self._wishes.mood(int(number))
        if mood == "never":
            await asyncio.sleep(_NEVER)
        if mood == "late":
            await asyncio.sleep(self._wishes.late)
        copies = 2 if mood == "twice" else 1
        for _ in range(copies):
            act(machine, action)
        return "200 OK", "on" if machine.powered else "off", copies


def act(machine: Machine, action: str) -> None:
    """Carry out what a BMC was told; an empty action is a question."""
    if action in ("on", "off", "cycle", "reset", "soft"):
        machine.power(action)  # type: ignore[arg-type]
