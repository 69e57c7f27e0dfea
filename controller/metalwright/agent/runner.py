# SPDX-License-Identifier: GPL-3.0-or-later
"""The job: hello, the steps in order, done. What a step's name means is written here and nowhere else."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from . import AGENT_VERSION, PROTOCOL
from .abort import Abort
from .client import Client
from .console import Console
from .disks import Disk
from .errors import Aborted, CommandFailed, Refused, StepFailed
from .reporter import TICK, Reporter
from .work import Work

REFUSED_PAUSE = 60.0
"""Seconds a person has to read why the controller does not want this machine, before it tries again by rebooting."""


class End(Protocol):
    """How the agent's work ends; see ``Handover``. Here the methods may return, for who plays the machine in a test."""

    def load(self, devices: list[Path]) -> bool: ...
    def kexec(self) -> None: ...
    def reboot(self) -> None: ...
    def power_off(self) -> None: ...


class Machine(NamedTuple):
    """The machine that the agent runs on, as far as steps see it."""

    firmware: str
    """``bios`` or ``uefi``."""
    boot_mac: str
    """Of the interface it was booted by; empty when the loader did not say."""
    identity: dict[str, Any]
    disks: Callable[[], list[Disk]]
    partitions: Callable[[Disk], list[Path]]
    end: End


class Runner:
    """Does one job, or enlists the machine, and ends by one call of ``machine.end``."""

    def __init__(
        self,
        machine: Machine,
        client: Client,
        console: Console,
        abort: Abort,
        pause: Callable[[float], None] = time.sleep,
        tick: float = TICK,
    ) -> None:
        """``pause`` sleeps where a machine is not wanted and between tries of a download; ``tick``: see ``Reporter``."""
        self._machine = machine
        self._client = client
        self._console = console
        self._abort = abort
        self._pause = pause
        self._tick = tick
        self._disk: Disk | None = None

    def enlist(self) -> None:
        """Tell the controller of a machine that it does not know, then do what it says (power off)."""
        self._console.say("this machine is not known yet: looking at its hardware")
        inventory = _module("inventory").collect(self._abort)
        try:
            answer = self._client.post("", self._introduction() | {"inventory": inventory})
        except Refused as error:
            self._refused(error)
            return
        self._console.say(f"enlisted as {answer.get('machine')}")
        self._finish(str(answer.get("action")))

    def job(self) -> None:
        """Ask what is to be done and do it."""
        try:
            job = self._client.post("hello", self._introduction() | {"agent": AGENT_VERSION})
        except Refused as error:
            self._refused(error)
            return
        machine = job.get("machine") or {}
        self._console.say(f"this is {machine.get('name')}, here to {job.get('kind')} (operation {job.get('operation')})")
        reporter = Reporter(self._client, self._console, self._abort, float(job.get("heartbeat", 10)), self._tick)
        reporter.start()
        try:
            action = self._steps(job.get("steps") or [], reporter)
        except Aborted as error:
            self._console.say(f"stopped: {error}")
            action = "poweroff"
        finally:
            reporter.stop()
        self._finish(action)

    def _introduction(self) -> dict[str, Any]:
        machine = self._machine
        return {"protocol": PROTOCOL, "identity": machine.identity, "firmware": machine.firmware, "boot_mac": machine.boot_mac}

    def _refused(self, error: Refused) -> None:
        self._console.say("the controller does not want this machine to go on:")
        self._console.say(f"  {error.message}" + (f" ({error.code})" if error.code else ""))
        self._console.say(f"trying again in {REFUSED_PAUSE:.0f} s, by a reboot")
        self._pause(REFUSED_PAUSE)
        self._machine.end.reboot()

    def _steps(self, steps: list[dict[str, Any]], reporter: Reporter) -> str:
        """Do the steps in order; return the action that the controller wants afterwards, ``poweroff`` after a failure."""
        work = Work(
            self._console,
            self._abort,
            self._client,
            reporter.update,
            self._machine.firmware,
            self._machine.disks,
            self._machine.partitions,
        )
        for step in steps:
            name = str(step.get("name"))
            self._console.say(f"{name}: begins")
            reporter.update(name)
            self._tell(name, "started")
            began = time.monotonic()
            try:
                result = self._do(name, step, work)
            except Aborted:
                raise
            except Exception as error:  # noqa: BLE001 - whatever happens, the controller is told
                failure = error if isinstance(error, StepFailed) else StepFailed("agent_error", _described(error))
                self._console.say(f"{name}: failed: {failure.message} ({failure.code})")
                said = {"code": failure.code, "message": self._console.clean(failure.message)}
                self._tell(name, "failed", error=said, log_tail=self._console.tail())
                return "poweroff"
            self._console.say(f"{name}: finished after {time.monotonic() - began:.1f} s")
            self._tell(name, "finished", result=result)
        try:
            return str(self._client.post("done", {}).get("action"))
        except Refused as error:
            raise Aborted(error.message) from error

    def _do(self, name: str, step: Mapping[str, Any], work: Work) -> dict[str, Any]:
        """Do one step. The modules are loaded only now: a machine says hello the sooner the less of this it has read."""
        if name == "inspect":
            return self._inspect()
        if name == "wipe":
            return dict(_module("wipe").wipe_disks(step, work))
        if name == "write":
            self._disk, result = _module("write").write_image(step, work, self._pause)
            return dict(result)
        if name == "configure":
            if self._disk is None:
                raise StepFailed("agent_error", "there is nothing to configure: the job has written no image")
            return dict(_module("configure").configure(step, work, self._disk))
        raise StepFailed("agent_error", f"this agent ({AGENT_VERSION}) knows no step {name!r}")

    def _inspect(self) -> dict[str, Any]:
        inventory = _module("inventory").collect(self._abort)
        try:
            self._client.post("inventory", {"inventory": inventory})
        except Refused as error:
            raise StepFailed("agent_error", f"the controller does not take the inventory: {error.message}") from error
        return {"disks": len(inventory["disks"]), "nics": len(inventory["nics"])}

    def _tell(self, name: str, status: str, **more: Any) -> None:
        try:
            answer = self._client.post("step", {"step": name, "status": status, **more})
        except Refused as error:
            raise Aborted(error.message) from error
        if answer.get("continue") is False:
            raise Aborted("the controller wants this job stopped")

    def _finish(self, action: str) -> None:
        end = self._machine.end
        if action == "kexec":
            if self._disk is not None and end.load(self._machine.partitions(self._disk)):
                end.kexec()
            else:
                end.reboot()
        elif action == "reboot":
            end.reboot()
        else:
            if action != "poweroff":
                self._console.say(f"the controller wants {action!r}, which this agent does not know")
            end.power_off()


def _module(name: str) -> Any:
    return importlib.import_module(f"{__package__}.{name}")


def _described(error: Exception) -> str:
    if isinstance(error, CommandFailed):
        return str(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    line = f" at {Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
    return f"{type(error).__name__}: {error}{line}"
