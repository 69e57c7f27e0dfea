# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's protocol, version 1. Every call may be repeated: the agent does so until it is answered.

    POST /agent/<token>/hello      who it is -> its job
    POST /agent/<token>/inventory  the machine's hardware
    POST /agent/<token>/step       a step started, finished or failed
    POST /agent/<token>/progress   how far a step is; also the heartbeat
    POST /agent/<token>/done       all steps done -> what to do now

``runs`` has the calls about scripts, ``console`` the one about what the agent prints.

The token says which operation is meant. It is void when the operation has ended, so a 404 tells an agent to stop.
"""

from __future__ import annotations

import math
from itertools import takewhile
from typing import Annotated, Any, Literal

from flask import Blueprint, request
from pydantic import Field
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid
from metalwright.lifecycle import rules, script_runs, tokens
from metalwright.lifecycle.console import printable
from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.operations import Signal
from metalwright.node import calls as shared
from metalwright.node import console, inventory, job, steps, telling, who
from metalwright.node.bodies import Message, Text, Word, read
from metalwright.node.pace import Pace, longest
from metalwright.node.plane import Plane, Seldom
from metalwright.store.models import Event, Operation

FROM_AGENTS = frozenset(
    {
        "no_disk",
        "disk_too_small",
        "image_download_failed",
        "image_corrupt",
        "write_failed",
        "no_root_filesystem",
        "no_bootloader",
        "seed_failed",
        "wipe_failed",
        "wipe_stalled",
        "script_failed",
        "test_failed",
        "installed_system_dead",
        "installed_no_network",
        "first_boot_silent",
        "agent_error",
    }
)
"""The codes of errors that agents may report; any other is told as ``agent_error``."""
_OF_SCRIPTS = ("script_failed", "test_failed")
_EVENT = Event.__table__.c
_LAST_SAID = (
    select(_EVENT.kind, _EVENT.data)
    .where(_EVENT.operation_id == bindparam("operation"), _EVENT.kind.in_(("agent.step", "agent.hello")))
    .order_by(_EVENT.id.desc())
    .limit(1)
)


class Hello(Message):
    """Sent first, and again when the agent has restarted."""

    protocol: int
    agent: Word = ""
    identity: who.Identity
    firmware: Literal["bios", "uefi"]
    boot_mac: Word = ""


class InventoryMessage(Message):
    """The hardware."""

    inventory: inventory.Inventory


class StepError(Message):
    """Why a step failed."""

    code: Word = "agent_error"
    message: Word = ""


class Step(Message):
    """A step changed its status."""

    step: Word
    status: Literal["started", "finished", "failed"]
    error: StepError | None = None
    result: dict[str, Any] = {}
    log_tail: Text = ""


class Progress(Message):
    """How far a step is."""

    step: Word = ""
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    done_bytes: Annotated[int, Field(ge=0, le=1 << 62)] | None = None
    total_bytes: Annotated[int, Field(ge=0, le=1 << 62)] | None = None
    message: Word = ""


class Done(Message):
    """All steps are done."""


def routes(plane: Plane) -> Blueprint:
    """``/agent/<token>/...``."""
    room = Blueprint("agent", __name__, url_prefix="/agent")
    calls = Calls(plane)
    limits = plane.settings.limits
    shared.check_tokens(room, plane)

    @room.post("/<token>/hello")
    def hello(token: str) -> dict[str, Any]:
        return calls.hello(token, read(Hello, limits.body_bytes))

    @room.post("/<token>/inventory")
    def take_inventory(token: str) -> dict[str, Any]:
        return calls.inventory(token, read(InventoryMessage, limits.inventory_bytes).inventory)

    @room.post("/<token>/step")
    def step(token: str) -> dict[str, Any]:
        return calls.step(token, read(Step, limits.body_bytes))

    @room.post("/<token>/progress")
    def progress(token: str) -> dict[str, Any]:
        return calls.progress(token, shared.asked_for(), read(Progress, limits.body_bytes))

    @room.post("/<token>/done")
    def done(token: str) -> dict[str, Any]:
        read(Done, limits.body_bytes)
        return calls.done(token)

    return room


class Calls:
    """What the calls do."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._progress = Seldom(1.0, size=100_000)
        self._pace = Pace(longest(plane.settings))

    def hello(self, token: str, said: Hello) -> dict[str, Any]:
        """Check that it is the machine the operation is for, and answer its job. Raises ``Conflict`` when it is not."""
        with self._plane.store.write() as session:
            operation = self._find(session, token)
            refusal = self._objection(session, operation, said)
            if refusal is None:
                answer = self._welcome(session, operation, token, said)
        if refusal is not None:
            raise refusal
        return answer

    def _welcome(self, session: Session, operation: Operation, token: str, said: Hello) -> dict[str, Any]:
        machine = operation.machine
        mac = who.mac_address(said.boot_mac)
        machine.firmware = said.firmware
        script_runs.restarted(session, operation, self._plane.clock())
        console.begin(session, operation, self._plane.clock())
        data = {"agent": said.agent, "firmware": said.firmware, "mac": mac}
        self._record(session, operation, "agent.hello", f"the agent on {machine.name} reports", data)
        self._plane.engine.signal(session, operation, Signal.HELLO, {"firmware": said.firmware, "message": "the agent reports"})
        return job.build(self._plane, operation, token)

    def _objection(self, session: Session, operation: Operation, said: Hello) -> Conflict | None:
        """Why this agent gets no job. Told to the log in the same transaction; the operation goes on waiting or fails."""
        machine = operation.machine
        points = who.score(machine, said.identity)
        if points < who.SAME_MACHINE:
            known = who.known_as(session, said.identity)
            other = who.described(said.identity) + (f", known here as {known}" if known else "")
            message = f"an agent with the token of {machine.name} runs on another machine: {other}"
            data = {"points": points, "identity": said.identity.model_dump(), "who": other, "address": request.remote_addr}
            self._record(session, operation, "agent.refused", message, data)
            self._plane.engine.signal(session, operation, Signal.STRANGER)
            return Conflict("identity_mismatch", f"This machine is not {machine.name}.", "Boot it again.")
        problem = (
            self._rivalry(session, operation, said)
            or self._protocol_problem(operation, said)
            or self._image_problem(operation, said.firmware)
        )
        if problem is not None:
            self._plane.engine.fail(session, operation, problem.as_dict())
        return problem

    def _rivalry(self, session: Session, operation: Operation, said: Hello) -> Conflict | None:
        other = who.rival(session, operation.machine, said.identity, self._plane.settings.node.shared_uuids)
        if other is None:
            return None
        identity = who.described(said.identity)
        message = f"{operation.machine.name}: what runs its agent is as surely {other.name}: {identity}"
        data = {"machine": other.name, "who": f"{identity}, as {other.name}", "address": request.remote_addr}
        self._record(session, operation, "machine.identity_conflict", message, data)
        return Conflict("identity_conflict", message, CAUSES["identity_conflict"].hint)

    def _protocol_problem(self, operation: Operation, said: Hello) -> Conflict | None:
        if said.protocol == 1:
            return None
        message = f"{operation.machine.name}: this controller speaks protocol 1, the agent {said.agent} {said.protocol}"
        return Conflict("agent_outdated", message, CAUSES["agent_outdated"].hint)

    def _image_problem(self, operation: Operation, firmware: str) -> Conflict | None:
        if "write" not in job.steps_of(operation):
            return None
        bootable = operation.parameters["image_file"]["firmware"]
        if bootable and firmware not in bootable:
            name = operation.machine.name
            message = f"Image {operation.parameters['image']} boots by {', '.join(bootable)} only; {name} booted by {firmware}."
            return Conflict("no_bootloader", message, CAUSES["no_bootloader"].hint)
        return None

    def inventory(self, token: str, facts: inventory.Inventory) -> dict[str, Any]:
        """Store the hardware of a machine that is being commissioned."""
        with self._plane.store.write() as session:
            operation = self._find(session, token)
            if operation.kind != "commission":
                raise Conflict("not_commissioning", "An inventory is taken when a machine is commissioned.")
            if telling.has_ended_of_talk(self._plane, session, operation):  # rules tell of it too, without the operation
                return {"continue": False}
            operation.told += 1
            machine = operation.machine
            foreign = inventory.store(session, machine, facts)
            inventory.boots_from(machine, self._boot_mac(session, operation))
            for mac in foreign:
                message = f"{machine.name} has a NIC {mac} that belongs to another machine; it was left out"
                self._record(session, operation, "machine.nic_taken", message, {"mac": mac})
            rules.arrived(session, machine, self._plane.clock())
            self._plane.engine.signal(session, operation, Signal.PROGRESS, {"step": "inspect", "message": "inventory received"})
        return {"continue": True}

    def _boot_mac(self, session: Session, operation: Operation) -> str | None:
        last = session.scalar(
            select(Event)
            .where(Event.operation_id == operation.id, Event.kind == "agent.hello")
            .order_by(Event.id.desc())
            .limit(1)
        )
        return last.data.get("mac") if last else None

    def step(self, token: str, said: Step) -> dict[str, Any]:
        """Note a step's status; a failed one fails the operation."""
        with self._plane.store.write() as session:
            operation = self._find(session, token)
            if said.step not in job.steps_of(operation):
                raise Invalid("step_unknown", f"A {operation.kind} has no step {said.step!r}.")
            data: dict[str, Any] = {"step": said.step, "status": said.status}
            if not self._is_repeated(session, operation, data):
                text = f"{operation.machine.name}: {said.step} {said.status}"
                self._record(session, operation, "agent.step", text, {**data, "result": _small(said.result)})
            failure = self._end_of_step(session, operation, said) if said.status != "started" else None
            if failure is not None:
                self._plane.engine.signal(session, operation, Signal.JOB_FAILED, failure)
                return {"continue": False}
            self._plane.engine.signal(session, operation, Signal.STEP, {**data, "message": f"{said.step} {said.status}"})
        return {"continue": True}

    def _end_of_step(self, session: Session, operation: Operation, said: Step) -> dict[str, Any] | None:
        """Why the operation fails now that this step has ended; None: it does not."""
        failure = _failure(operation, said) if said.status == "failed" else None
        if said.step == "scripts":
            verdict = steps.scripts_ended(session, operation)
            return failure if failure is not None and failure["code"] not in _OF_SCRIPTS else verdict or failure
        if said.step == "wipe" and failure is None:
            return steps.wiped(operation, said.result)
        if said.step == "rescue" and failure is None:
            steps.rescued(operation, said.result, request.remote_addr, self._plane.clock())
        return failure

    def _is_repeated(self, session: Session, operation: Operation, data: dict[str, Any]) -> bool:
        """Whether this was the last thing the agent said: its first call arrived, the answer did not."""
        last = session.execute(_LAST_SAID, {"operation": operation.id}).one_or_none()
        return last is not None and last.kind == "agent.step" and data.items() <= last.data.items()

    def progress(self, token: str, operation_id: str, said: Progress) -> dict[str, Any]:
        """A sign of life; written down at most once a second. The answer says when the next one is wanted."""
        now = self._plane.clock()
        if self._progress.allows(operation_id, now):
            with self._plane.store.write() as session:
                operation = tokens.find(session, token, self._plane.clock, lock=True)
                if job.working(operation):
                    shared.sign_of_life(self._plane, session, operation, said.model_dump(exclude_none=True))
        return {"continue": True, "pause": self._pace.pause(operation_id, now)}

    def done(self, token: str) -> dict[str, Any]:
        """The machine's next boot is from its own disk before the agent is told so."""
        with self._plane.store.write() as session:
            operation = tokens.find(session, token, self._plane.clock, lock=True)
            action = job.action_of(operation)
            if job.working(operation) and (missing := self._unfinished(session, operation)):
                message = f"{operation.machine.name}: the agent says it is done, but it never finished: {', '.join(missing)}"
                self._plane.engine.signal(session, operation, Signal.JOB_FAILED, {"code": "agent_error", "message": message})
                return {"action": "poweroff"}
            if job.working(operation):
                message = f"the agent on {operation.machine.name} is done: {action}"
                self._record(session, operation, "agent.handover", message, {"action": action})
                self._plane.engine.signal(session, operation, Signal.JOB_DONE, {"message": message})
        return {"action": action}

    def _unfinished(self, session: Session, operation: Operation) -> list[str]:
        """The steps of the job that were not told as finished since the agent reported: nobody's word is enough for ``ready``."""
        events = session.scalars(
            select(Event)
            .where(Event.operation_id == operation.id, Event.kind.in_(("agent.step", "agent.hello")))
            .order_by(Event.id.desc())
        )
        since = list(takewhile(lambda event: event.kind != "agent.hello", events))
        finished = {event.data.get("step") for event in since if event.data.get("status") == "finished"}
        if operation.kind == "commission" and operation.machine.hardware is None:
            finished.discard("inspect")
        return [step for step in job.steps_of(operation) if step not in finished]

    def _find(self, session: Session, token: str) -> Operation:
        return shared.operation_of(session, token, self._plane.clock, lock=True)

    def _record(self, session: Session, operation: Operation, kind: str, message: str, data: dict[str, Any]) -> None:
        telling.tell(self._plane, session, operation, kind, message, data)


def _failure(operation: Operation, said: Step) -> dict[str, Any]:
    error = said.error or StepError()
    code = error.code if error.code in FROM_AGENTS else "agent_error"
    message = f"{operation.machine.name}: {said.step}: {error.message or error.code}"
    return {"code": code, "message": message, "log_tail": said.log_tail}


def _small(result: dict[str, Any]) -> dict[str, Any]:
    """The plain values of a step's result, few and short: it is for the event log."""
    plain = ((printable(str(name))[:64], value) for name, value in list(result.items())[:32])
    return {
        name: printable(value)[:256] if isinstance(value, str) else value
        for name, value in plain
        if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    }
