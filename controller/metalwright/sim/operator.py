# SPDX-License-Identifier: GPL-3.0-or-later
"""Who drives the fleet: adds its machines to the controller, has them deployed, follows the event log, and counts at the end.

Every call is made again until it is answered, as the agent does: what happens to the controller meanwhile is what is tested.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from metalwright.cli.client import Access
from metalwright.sim.http import NoAnswer, Refused, checked, exchange
from metalwright.sim.tally import Tally

AT_ONCE = 8
_PAUSE = 0.5
_WAIT = 10
_ENDS = ("operation.succeeded", "operation.failed", "operation.aborted", "operation.not_followed")


@dataclass(frozen=True)
class Count:
    """What there is at the end: machines of the fleet by state, and what the whole controller has under way."""

    machines: dict[str, int]
    operations: dict[str, int]
    tasks: dict[str, int]
    failures: dict[str, int]
    """Of machines that were not deployed: why."""


class Operator:
    """Speaks with the admin plane of one controller or, by ``urls``, of several that share a database."""

    def __init__(self, access: Access, tally: Tally, prefix: str, urls: Iterable[str] = ()) -> None:
        self._urls = [access.url, *urls]
        self._headers = {"Authorization": f"Bearer {access.token}"}
        self._tally = tally
        self._prefix = prefix
        self._free = asyncio.Semaphore(AT_ONCE)
        self.ended: dict[str, str] = {}
        """By machine: ``deployed``, or the code of the failure."""

    async def add_subnet(self, subnet: dict[str, Any]) -> None:
        """Make the subnet, unless it is there."""
        await self._make("/subnets", subnet)

    async def add(self, name: str, mac: str, power: dict[str, Any]) -> None:
        """Add a machine."""
        await self._make("/machines", {"name": name, "macs": [mac], "power": power})

    async def deploy(self, name: str, image: str) -> None:
        """Have it commissioned and deployed."""
        with self._tally.timed("API: converge"):
            await self.call("POST", f"/machines/{name}/converge", {"state": "deployed", "image": image})

    async def remove(self, name: str) -> None:
        """Remove a machine, whatever it is doing."""
        try:
            await self.call("DELETE", f"/machines/{name}?force=true")
        except Refused:
            self._tally.events["machines that could not be removed"] += 1

    async def cursor(self) -> int:
        """Where the event log ends now."""
        return int((await self.call("GET", "/events?after=latest"))["cursor"])

    async def follow(self, names: Iterable[str], after: int, began: Mapping[str, float], patience: float) -> None:
        """Return when every machine's way has ended, well or not; raises ``TimeoutError`` after ``patience`` seconds.

        ``began`` has the moments at which machines were told to deploy, by the loop's clock.
        """
        waiting = set(names)
        loop = asyncio.get_running_loop()
        cursor = after
        async with asyncio.timeout(patience):
            while waiting:
                asked = urlencode({"after": cursor, "wait": _WAIT, "limit": 1000, "kind": ",".join(_ENDS)})
                found = await self.call("GET", f"/events?{asked}")
                cursor = found["cursor"]
                for event in found["events"]:
                    name = (event["machine"] or {}).get("name", "")
                    if name in waiting and (end := _end(event)):
                        self.ended[name] = end
                        waiting.discard(name)
                        if end == "deployed" and (since := began.get(name)) is not None:
                            self._tally.took("deployed", loop.time() - since)

    async def count(self) -> Count:
        """Count everything."""
        status = await self.call("GET", "/status")
        mine = [each for each in await self._machines("name,state") if each["name"].startswith(f"{self._prefix}-")]
        states = Counter(each["state"] for each in mine)
        failures = Counter(end for end in self.ended.values() if end != "deployed")
        tasks = {state: number for state, number in status["tasks"].items() if state in ("pending", "running")}
        return Count(dict(states), status["operations"], tasks, dict(failures))

    async def _machines(self, fields: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.call("GET", f"/machines?{urlencode({'limit': 1000, 'fields': fields, **cursor})}")
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    async def _make(self, path: str, body: dict[str, Any]) -> None:
        """POST something with a name; when it is there already, the call before had arrived."""
        try:
            await self.call("POST", path, body)
        except Refused as error:
            if error.status != 409:
                raise

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call, made again until it is answered. Raises ``Refused``."""
        content = json.dumps(body).encode() if body is not None else None
        tries = 0
        async with self._free:
            while True:
                url = f"{self._urls[tries % len(self._urls)]}/api/v1{path}"
                try:
                    answer = checked(await exchange(method, url, content, headers=self._headers, timeout=60))
                    return json.loads(answer.body) if answer.body else None
                except NoAnswer:
                    tries += 1
                    self._tally.events["API: calls repeated"] += 1
                    await asyncio.sleep(_PAUSE)


def _end(event: dict[str, Any]) -> str | None:
    """What an event says of a machine's way to deployed: that it has arrived, or why it will not; None: it goes on."""
    if event["kind"] == "operation.succeeded":
        return "deployed" if event["data"].get("kind") == "deploy" else None
    return str(event["data"].get("code") or event["kind"].removeprefix("operation."))
