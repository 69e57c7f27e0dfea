# SPDX-License-Identifier: GPL-3.0-or-later
"""The job: hello, the steps in order, done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from . import AGENT_VERSION, PROTOCOL
from .abort import Abort
from .client import Client
from .console import Console
from .disks import Disk
from .errors import Aborted, CommandFailed, Refused, RestartWanted, StepFailed
from .relay import Relay
from .reporter import TICK, Reporter
from .steps import Steps, module
from .work import Work

REFUSED_PAUSE = 60.0
"""Seconds a person has to read why the controller does not want this machine, before it tries again by rebooting."""


class End(Protocol):
    """How the agent's work ends; see ``Handover``. Here the methods may return, for who plays the machine in a test."""

    def load(self, devices: list[Path]) -> bool: ...
    def kexec(self) -> None: ...
    def reboot(self) -> None: ...
    def restart(self, firmware: str) -> None: ...
    def power_off(self) -> None: ...
    def stay(self, login: list[str]) -> None: ...


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
        self._relay = Relay(client, console)
        self._did: Steps | None = None

    def enlist(self) -> None:
        """Tell the controller of a machine that it does not know, then do what it says (power off)."""
        self._console.say("this machine is not known yet: looking at its hardware")
        inventory = module("inventory").collect(self._abort)
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
        heartbeat = float(job.get("heartbeat", 10))
        reporter = Reporter(self._client, self._console, self._abort, heartbeat, self._relay, self._tick)
        reporter.start()
        try:
            action = self._steps(job.get("steps") or [], reporter) or self._done(str(job.get("action")))
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
        """Do the steps in order; return nothing when all are done, else what is to be done now.

        That is ``poweroff`` after a failure, and ``restart`` where the job goes on after one.
        """
        work = Work(
            self._console,
            self._abort,
            self._client,
            reporter.update,
            self._machine.firmware,
            self._machine.disks,
            self._machine.partitions,
        )
        done = self._did = Steps(work, self._pause)
        for step in steps:
            name = str(step.get("name"))
            self._console.say(f"{name}: begins")
            reporter.update(name)
            self._tell(name, "started")
            began = time.monotonic()
            try:
                result = done.do(name, step)
            except Aborted:
                raise
            except RestartWanted as error:
                self._console.say(f"{name}: {error} wants the machine restarted; it goes on after that")
                self._relay.send()
                return "restart"
            except Exception as error:  # noqa: BLE001 - whatever happens, the controller is told
                self._fail(name, error if isinstance(error, StepFailed) else StepFailed("agent_error", _described(error)))
                return "poweroff"
            self._console.say(f"{name}: finished after {time.monotonic() - began:.1f} s")
            self._tell(name, "finished", result=result)
        self._relay.send()
        return ""

    def _done(self, expected: str) -> str:
        """Tell that all steps are done; return what the controller wants now. ``expected``: what it said at first that would be.

        A rescue ends by this call, and its token is void from then on: when the answer was lost, the next try is refused, and
        so is a report. A rescue that a person has aborted meanwhile is refused too, but that machine the controller turns off.
        """
        try:
            return str(self._client.post("done", {}).get("action"))
        except (Refused, Aborted) as error:
            if expected == "stay":
                return expected
            raise Aborted(str(error)) from error

    def _fail(self, name: str, failure: StepFailed) -> None:
        self._console.say(f"{name}: failed: {failure.message} ({failure.code})")
        self._relay.send()
        said = {"code": failure.code, "message": self._console.clean(failure.message)}
        self._tell(name, "failed", error=said, log_tail=failure.log_tail or self._console.tail())

    def _tell(self, name: str, status: str, **more: Any) -> None:
        try:
            answer = self._client.post("step", {"step": name, "status": status, **more})
        except Refused as error:
            raise Aborted(error.message) from error
        if answer.get("continue") is False:
            raise Aborted("the controller wants this job stopped")

    def _finish(self, action: str) -> None:
        end = self._machine.end
        disk = self._did.disk if self._did else None
        if action == "kexec":
            if disk is not None and end.load(self._machine.partitions(disk)):
                end.kexec()
            else:
                end.reboot()
        elif action == "reboot":
            end.reboot()
        elif action == "restart":
            end.restart(self._machine.firmware)
        elif action == "stay":
            end.stay(self._did.login if self._did else [])
        else:
            if action != "poweroff":
                self._console.say(f"the controller wants {action!r}, which this agent does not know")
            end.power_off()


def _described(error: Exception) -> str:
    if isinstance(error, CommandFailed):
        return str(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    line = f" at {Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
    return f"{type(error).__name__}: {error}{line}"
