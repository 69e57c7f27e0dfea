# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's part of docs/reference/agent-protocol.md, with nothing behind it: no disk is written, no script is run.

Repeats, pauses and heartbeats are those of the real one (``agent/client.py``, ``agent/reporter.py``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from metalwright import __version__
from metalwright.sim.hardware import Hardware
from metalwright.sim.http import Answer, Cable, NoAnswer, Refused
from metalwright.sim.tally import Tally

_REFUSED_PAUSE = 60.0
_EARLIEST, _LATEST = 0.3, 0.6
_SEED = ("meta-data", "user-data", "vendor-data", "network-config")

Step = dict[str, Any]


class StepFailed(Exception):
    """A step that ends with one of the protocol's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Aborted(Exception):
    """The controller does not want the job any more."""


@dataclass(frozen=True)
class Finished:
    """How the agent ends: its action, and where the installed system will report (deployments)."""

    action: str
    report_url: str | None = None


def backoff(dice: random.Random, failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return dice.uniform(1.0, min(10.0, 2.0 ** min(failures, 8)))


class Agent:
    """One run on one machine; ``at_step`` is awaited when a step begins, for a machine that dies there."""

    def __init__(
        self,
        hardware: Hardware,
        cable: Cable,
        dice: random.Random,
        tally: Tally,
        url: str,
        at_step: Callable[[str], Awaitable[None]],
    ) -> None:
        self._hardware = hardware
        self._cable = cable
        self._dice = dice
        self._tally = tally
        self._url = url.rstrip("/")
        self._at_step = at_step
        self._report_url: str | None = None
        self._console = 0

    async def run(self) -> Finished:
        """Do the job."""
        try:
            job = await self._post("hello", {**self._introduction(), "agent": __version__})
        except Refused:
            self._tally.events["agent refused"] += 1
            await asyncio.sleep(_REFUSED_PAUSE)
            return Finished("reboot")
        began = asyncio.get_running_loop().time()
        beating = asyncio.create_task(self._beat(float(job["heartbeat"])))
        working = asyncio.create_task(self._job(job))
        try:
            await asyncio.wait((beating, working), return_when=asyncio.FIRST_COMPLETED)
            finished = await working if working.done() else Finished("poweroff")  # a heartbeat is refused: not wanted any more
        except (Aborted, Refused):
            self._tally.events["agent stopped"] += 1
            return Finished("poweroff")
        finally:
            beating.cancel()
            working.cancel()
        self._tally.took(f"agent: {job['kind']}", asyncio.get_running_loop().time() - began)
        return finished

    def _introduction(self) -> dict[str, Any]:
        mine = self._hardware
        return {"protocol": 1, "identity": mine.identity, "firmware": mine.firmware, "boot_mac": mine.mac()}

    async def _job(self, job: dict[str, Any]) -> Finished:
        for step in job["steps"]:
            name = step["name"]
            await self._tell(step, "started")
            await self._at_step(name)
            try:
                result = await self._step(step)
            except StepFailed as error:
                self._tally.events[f"step failed: {error.code}"] += 1
                await self._tell(step, "failed", error={"code": error.code, "message": str(error)})
                return Finished("poweroff")
            await self._tell(step, "finished", result=result)
        await self._say(f"{job['kind']}: all steps done\n")
        return Finished(str((await self._post("done", {}))["action"]), self._report_url)

    async def _step(self, step: Step) -> dict[str, Any]:
        doing: dict[str, Callable[[Step], Awaitable[dict[str, Any]]]] = {
            "inspect": self._inspect,
            "scripts": self._scripts,
            "write": self._write,
            "configure": self._configure,
            "wipe": self._wipe,
            "rescue": self._rescue,
            "inquire": self._inquire,
        }
        return await doing[step["name"]](step)

    async def _inspect(self, _step: Step) -> dict[str, Any]:
        inventory = self._hardware.inventory()
        await self._post("inventory", {"inventory": inventory})
        return {"disks": len(inventory["disks"]), "nics": len(inventory["nics"])}

    async def _scripts(self, _step: Step) -> dict[str, Any]:
        runs = (await self._post("scripts", {}))["runs"]
        for run in runs:
            await self._get(f"{self._url}/script/{run['id']}")
            await self._post(f"script/{run['id']}", {"status": "running"})
            said = {"status": "passed", "exit_status": 0, "output": f"{run['name']}: well\n", "runtime_seconds": 0.1}
            await self._post(f"script/{run['id']}", said)
        return {"passed": len(runs), "failed": 0, "timeout": 0, "skipped": 0}

    async def _write(self, step: Step) -> dict[str, Any]:
        with self._tally.timed("image"):
            answer = await self._get(step["url"], keep=False)
        self._tally.bytes += answer.size
        if answer.sha256 != step["sha256"]:
            raise StepFailed("image_corrupt", f"its sha256 is {answer.sha256}")
        progress = {"step": "write", "percent": 100, "done_bytes": answer.size, "total_bytes": answer.size, "message": "written"}
        await self._post("progress", progress)
        return {"disk": self._hardware.inventory()["disks"][0]["id"], "path": "/dev/sda", "seconds": 1.0, "sparse": True}

    async def _configure(self, step: Step) -> dict[str, Any]:
        for name in _SEED:
            await self._get(step["seed_url"] + name)
        settings = next((file["content"] for file in step["files"] if file["path"].endswith("/report.json")), "")
        self._report_url = settings.partition('"url": "')[2].partition('"')[0] or None
        if self._report_url is None:
            raise StepFailed("agent_error", "no file says where the first boot reports")
        return {"root": "/dev/sda3", "efi_entry": "0005" if self._hardware.firmware == "uefi" else None}

    async def _wipe(self, step: Step) -> dict[str, Any]:
        ids = [disk["id"] for disk in self._hardware.inventory()["disks"]]
        return {"disks": [{"id": each, "method": step["mode"].replace("secure", "full"), "seconds": 1.0} for each in ids]}

    async def _rescue(self, _step: Step) -> dict[str, Any]:
        return {"host_keys": self._hardware.host_keys(), "address": self._cable.source or ""}

    async def _inquire(self, _step: Step) -> dict[str, Any]:
        raise StepFailed("first_boot_silent", "the log of cloud-init does not come to an end")

    async def _tell(self, step: Step, status: str, **more: Any) -> None:
        answer = await self._post("step", {"step": step["name"], "status": status, **more})
        if answer.get("continue") is False:
            raise Aborted

    async def _say(self, text: str) -> None:
        self._console = int((await self._post("console", {"offset": self._console, "text": text}))["next"])

    async def _beat(self, heartbeat: float) -> None:
        """Progress as a sign of life until it is refused; one that does not arrive is dropped."""
        pause, failures = 0.0, 0
        while True:
            due = max(heartbeat * self._dice.uniform(_EARLIEST, _LATEST), pause)
            await asyncio.sleep(backoff(self._dice, failures) if failures else due)
            try:
                said = await self._cable.post(f"{self._url}/progress", {"message": "at work"})
            except NoAnswer:
                self._tally.events["heartbeat lost"] += 1
                failures += 1
                continue
            except Refused:
                return
            if said.get("continue") is False:
                return
            pause, failures = float(said.get("pause", 0.0)), 0

    async def _post(self, path: str, said: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._url}/{path}"
        found: dict[str, Any] = await self._insist(lambda: self._cable.post(url, said), path.partition("/")[0])
        return found

    async def _get(self, url: str, *, keep: bool = True) -> Answer:
        found: Answer = await self._insist(lambda: self._cable.get(url, keep=keep))
        return found

    async def _insist(self, once: Callable[[], Awaitable[Any]], name: str = "") -> Any:
        failures = 0
        while True:
            try:
                if not name:
                    return await once()
                with self._tally.timed(f"call {name}"):
                    return await once()
            except NoAnswer:
                failures += 1
                self._tally.events["calls repeated"] += 1
                await asyncio.sleep(backoff(self._dice, failures))
