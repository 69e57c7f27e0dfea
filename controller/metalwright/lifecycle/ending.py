# SPDX-License-Identifier: GPL-3.0-or-later
"""How operations end: well, badly, or because a person wants it; and where that leaves the machine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.lifecycle import diagnosis, tasks
from metalwright.lifecycle.failures import failure as failure_record
from metalwright.lifecycle.held import hold
from metalwright.lifecycle.operations import OPERATIONS, OperationKind
from metalwright.lifecycle.script_runs import close_all
from metalwright.lifecycle.states import State
from metalwright.lifecycle.transitions import transition
from metalwright.network import machine_addresses
from metalwright.store.base import Clock
from metalwright.store.events import record
from metalwright.store.models import Event, Machine, Operation, Task

LIVE = ("queued", "running")
"""States of an operation that has not ended."""

_SECRETS = ("user_data", "playbook_vars")
"""Parameters that nobody needs after the end."""


class Ending:
    """Ends operations, inside the caller's writing transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def succeed(self, session: Session, operation: Operation, kind: OperationKind) -> list[dict[str, Any]]:
        """End an operation well; returns the operations that are to follow it."""
        machine, before = operation.machine, operation.machine.state
        ends = _where_success_leads(operation, kind)
        if ends in (State.READY, State.ALLOCATED, State.DEPLOYED):
            machine.failure = None
            machine.failed_from = None
        if kind.name == "deploy":
            machine.deployed = {**operation.parameters.get("record", {}), "at": self._clock().isoformat()}
            machine.held_hostname = None
            given = machine_addresses.Given(**operation.parameters.get("addresses", {}))
            if machine_addresses.settle(session, machine, given):
                tasks.enqueue(session, "network.apply", {}, machine=machine, now=self._clock())
        elif kind.name == "release":
            machine.deployed = None
            machine.hostname = None
            machine.host_keys = []
            if ends == State.READY:
                machine.allocation_id = None
        elif kind.name == "rescue":
            told = machine.rescue or {"address": None, "host_keys": [], "since": self._clock().isoformat()}
            machine.rescue = {**told, "former_state": machine.former_state}
            machine.former_state = operation.from_state
        elif kind.name == "exit-rescue":
            machine.former_state = (machine.rescue or {}).get("former_state")
            machine.rescue = None
        transition(session, machine, ends, holder=operation.id, new_holder=None)
        following = operation.next
        self._end(session, operation, "succeeded")
        data = {"kind": kind.name, "before": before, "state": machine.state}
        message = f"{machine.name}: {kind.label} succeeded"
        record(session, "operation.succeeded", message, operation=operation, data=data, at=self._clock())
        if kind.name == "release":
            tasks.enqueue(session, "network.apply", {}, machine=machine, now=self._clock())
        return following

    def fail(self, session: Session, operation: Operation, said: dict[str, Any]) -> None:
        """End an operation as failed. In a harmless phase the machine goes back to its former state, else it is ``failed``.

        ``said``: ``code, message`` and perhaps ``hint, log_tail``.
        """
        machine, before = operation.machine, operation.machine.state
        phase = OPERATIONS[operation.kind].phase(operation.phase) if operation.phase else None
        failure = failure_record(
            str(said.get("code", "internal")),
            str(said.get("message", "")),
            phase=operation.phase,
            last_seen=diagnosis.last_seen(session, operation),
            log_tail=str(said.get("log_tail", "")),
            hint=str(said.get("hint", "")),
        )
        harmless = phase is None or phase.harmless
        self._leave(session, operation, failure, harmless=harmless)
        if harmless and machine.deployed and _left_its_system(session, operation):
            tasks.enqueue(session, "power.cycle", {}, machine=machine, now=self._clock())  # back to its own disk
        operation.failure = failure
        self._end(session, operation, "failed")
        message = f"{machine.name}: {operation.kind} failed in {failure['phase']}: {failure['message']}"
        told = {name: value for name, value in failure.items() if name != "log_tail"}  # what scripts print is not for webhooks
        data = {**told, "kind": operation.kind, "before": before, "state": machine.state}
        record(session, "operation.failed", message, operation=operation, data=data, at=self._clock())

    def abort(self, session: Session, operation: Operation, *, by: str) -> None:
        """End an operation because a person asked for it. Raises ``Conflict`` (``operation_ended``) if it has ended."""
        hold(session, operation)
        if operation.state not in LIVE:
            raise Conflict(
                "operation_ended",
                f"Operation {operation.id} has ended already: {operation.state}.",
                operation=operation.id,
                state=operation.state,
            )
        session.refresh(operation.machine, with_for_update={"of": Machine})  # after the operation, as all do
        machine, before = operation.machine, operation.machine.state
        kind = OPERATIONS[operation.kind]
        phase = kind.phase(operation.phase) if operation.phase else None
        harmless = phase is None or phase.harmless
        message = f"{machine.name}: {kind.label} aborted by {by}" + (f" in {phase.name}" if phase else " while it waited in line")
        failure = failure_record("aborted", message, phase=operation.phase, last_seen=diagnosis.last_seen(session, operation))
        if harmless:
            failure["hint"] = ""
        self._leave(session, operation, failure, harmless=harmless)
        operation.failure = failure
        self._end(session, operation, "aborted")
        data = {"by": by, "kind": kind.name, "phase": operation.phase, "before": before, "state": machine.state}
        record(session, "operation.aborted", message, operation=operation, data=data, at=self._clock())
        if _left_its_system(session, operation):
            effect = "power.cycle" if machine.deployed else "power.off"
            tasks.enqueue(session, effect, {}, machine=machine, now=self._clock())

    def _leave(self, session: Session, operation: Operation, failure: dict[str, Any], *, harmless: bool) -> None:
        machine = operation.machine
        tasks.cancel(session, operation, self._clock())
        kind = OPERATIONS[operation.kind]
        if kind.starts is None:
            transition(session, machine, None, holder=operation.id, new_holder=None)
            return
        if operation.kind == "rescue":
            machine.rescue = None
        if operation.kind == "deploy":
            machine.hostname = (machine.deployed or {}).get("hostname") if harmless else None
            machine.held_hostname = None
            machine_addresses.let_go(session, machine)
        if harmless or _changes_nothing(operation):
            transition(session, machine, State(operation.from_state), holder=operation.id, new_holder=None)
            if not harmless and _failed_at_a_test(machine):
                machine.failure = failure
            if machine.state == State.DEPLOYED and machine.boot_interface:  # it runs on with the address it had
                machine.boot_interface.address = operation.parameters.get("former_address")
                tasks.enqueue(session, "network.apply", {}, machine=machine, now=self._clock())
            return
        transition(session, machine, State.FAILED, holder=operation.id, new_holder=None)
        if kind.name in ("deploy", "release") or not not_empty(machine):
            machine.failed_from = kind.starts
        machine.failure = failure
        machine.deployed = None
        machine.host_keys = []

    def _end(self, session: Session, operation: Operation, state: str) -> None:
        close_all(session, operation, self._clock())
        operation.state = state
        operation.ended_at = self._clock()
        operation.deadline = None
        operation.token_hash = None
        operation.token_expires = None
        operation.next = [{"kind": step["kind"]} for step in operation.next]  # what follows is told; its user-data is its own
        operation.parameters = {name: value for name, value in operation.parameters.items() if name not in _SECRETS}
        run = operation.playbook_run or {}
        if run.get("status") == "running":
            operation.playbook_run = {**run, "status": "stopped", "ended_at": self._clock().isoformat()}


def _where_success_leads(operation: Operation, kind: OperationKind) -> State | None:
    machine = operation.machine
    empty = State.ALLOCATED if machine.allocation_id else State.READY
    if kind.name == "commission":
        return State.FAILED if operation.from_state == State.FAILED and not_empty(machine) else empty
    if kind.name == "test":
        tested = operation.from_state == State.FAILED and _failed_at_a_test(machine) and not not_empty(machine)
        return empty if tested else State(operation.from_state)
    if kind.name == "exit-rescue":
        return State(machine.former_state or State.READY)
    if kind.name == "release":
        return empty if operation.parameters.get("keep_allocation") else State.READY
    return next(iter(kind.ends), None)


def not_empty(machine: Machine) -> bool:
    """Whether a failed machine's disks may hold anything: only a release or a deploy leads on from there, nothing says ready."""
    return machine.failed_from in (State.DEPLOYING, State.RELEASING)


def _changes_nothing(operation: Operation) -> bool:
    """Whether a machine stays what it was even if the operation fails: tests of one that is not to be used as it is anyway."""
    return operation.kind == "test" and operation.from_state in (State.BROKEN, State.FAILED)


def _failed_at_a_test(machine: Machine) -> bool:
    return (machine.failure or {}).get("code") == "test_failed"


def _left_its_system(session: Session, operation: Operation) -> bool:
    """Whether the machine of an operation no longer runs what it ran before: it was told to boot from the network, a worker has
    begun to tell it so, or it has come for its boot script by itself. One that was not is left alone."""
    came = exists().where(Event.operation_id == operation.id, Event.kind.in_(("power.netboot", "boot.script")))
    of_it = (Task.operation_id == operation.id, Task.kind == "power.netboot")
    told = exists().where(*of_it, Task.state == "running", Task.begun)  # what nobody has begun is not done any more
    return bool(session.scalar(select(or_(came, told))))
