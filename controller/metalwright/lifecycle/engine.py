# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: advances operations by signals, deadlines and aborts.

Every method works inside the caller's writing transaction and does nothing but change rows: the state, the event log and the
next effects become true together or not at all. So nothing lives in memory, and any process can go on with any operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.errors import MetalwrightError
from metalwright.lifecycle import diagnosis, playbooks, pools, tasks, tokens
from metalwright.lifecycle.deploy import check_hostname_free
from metalwright.lifecycle.ending import Ending
from metalwright.lifecycle.held import hold
from metalwright.lifecycle.line import next_in_line, reason_to_wait
from metalwright.lifecycle.operations import FAILURES, OPERATIONS, OperationKind, Phase, Signal
from metalwright.lifecycle.starting import check_may_start
from metalwright.lifecycle.transitions import transition
from metalwright.network import machine_addresses
from metalwright.network.addresses import ensure_address
from metalwright.store.base import Clock, utcnow
from metalwright.store.events import record
from metalwright.store.models import Machine, Operation

log = structlog.get_logger()


class Engine:
    """Starts, advances, aborts and reaps operations. Holds settings and a clock, no state."""

    def __init__(self, settings: Settings, clock: Clock = utcnow) -> None:
        self.settings = settings
        self.clock = clock
        self.ending = Ending(clock)

    # -- beginning -------------------------------------------------------------------------------------------------------------

    def start(
        self,
        session: Session,
        machine: Machine,
        kind: str,
        parameters: dict[str, Any],
        *,
        by: str,
        then: Sequence[dict[str, Any]] = (),
    ) -> Operation:
        """Begin an operation on a machine; ``then`` are the operations to start when it succeeds.

        Raises ``Conflict``: ``machine_busy`` (details name the running operation), ``machine_locked``, ``wrong_state``,
        ``hostname_taken``, or what ``network.machine_addresses.prepare`` and ``playbooks.prepared`` raise.
        """
        declared = OPERATIONS[kind]
        check_may_start(session, machine, declared, parameters)
        parameters = playbooks.prepared(self.settings, machine, kind, parameters)
        for step in then:
            playbooks.check(self.settings, step.get("parameters", {}))
        if kind == "release":
            parameters = pools.with_erase(session, machine, parameters)
        operation = Operation(
            kind=kind,
            machine_id=machine.id,
            from_state=machine.state,
            parameters={**parameters, "former_address": machine.boot_interface.address if machine.boot_interface else None},
            next=list(then),
            requested_by=by,
            created_at=self.clock(),
        )
        operation.machine = machine
        session.add(operation)
        session.flush()
        transition(session, machine, declared.starts, holder=None, new_holder=operation.id)
        if kind == "deploy":
            hostname = parameters.get("hostname") or machine.name
            check_hostname_free(session, machine, hostname)
            if machine.deployed and machine.hostname != hostname:
                machine.held_hostname = machine.hostname
            machine.hostname = hostname
        if declared.starts is not None:
            self._give_addresses(session, machine, operation)
        data = {"kind": kind, "before": operation.from_state, "state": machine.state, "by": by}
        self._record(session, operation, "operation.started", f"{machine.name}: {declared.label} requested by {by}", data)
        why = reason_to_wait(session, declared, self.settings.limits, self.clock())
        if why is None:
            self._begin(session, operation)
        else:
            operation.message = why
        return operation

    def _give_addresses(self, session: Session, machine: Machine, operation: Operation) -> None:
        if operation.kind != "deploy" and machine.deployed:
            return  # it goes on with the address it was deployed with
        ours = urlsplit(self.settings.node.url).hostname
        if operation.kind == "deploy":
            given = machine_addresses.prepare(session, machine, operation.parameters.get("address", "auto"), ours)
            if machine.deployed:
                machine_addresses.hold(session, machine, operation.parameters["former_address"])
            operation.parameters = {**operation.parameters, "addresses": asdict(given)}
            return
        try:
            ensure_address(session, machine, ours=ours)
        except MetalwrightError:
            return  # the agent does its work on any address that DHCP hands out

    def _begin(self, session: Session, operation: Operation) -> None:
        operation.state = "running"
        operation.started_at = self.clock()
        operation.message = ""
        self._enter(session, operation, OPERATIONS[operation.kind].first(operation.parameters))

    def promote(self, session: Session) -> int:
        """Begin operations that wait in line, oldest first, as far as there is room; answers how many."""
        waiting = next_in_line(session, self.settings.limits, self.clock())
        for operation in waiting:
            self._begin(session, operation)
        return len(waiting)

    # -- going on --------------------------------------------------------------------------------------------------------------

    def signal(self, session: Session, operation: Operation, signal: Signal, data: dict[str, Any] | None = None) -> None:
        """Tell an operation what happened. Idempotent: what comes twice, late or for an ended operation changes nothing.

        ``data`` of a failure: ``code, message`` and perhaps ``hint, log_tail``; of ``PROGRESS``: ``percent, message, step``.
        """
        hold(session, operation)
        if operation.state != "running" or operation.phase is None:
            return
        kind = OPERATIONS[operation.kind]
        phase = kind.phase(operation.phase)
        data = data or {}
        if signal in FAILURES:
            if signal == _failure_of(phase):
                self.fail(session, operation, data)
        elif signal == phase.until:
            self._advance(session, operation, kind, phase)
        elif signal == Signal.STRANGER:
            if phase.until == Signal.HELLO and phase.again:
                self._await_again(session, operation, kind.phase(phase.again))
        elif signal == Signal.HELLO and phase.until == Signal.BOOT_SCRIPT:
            self._advance(session, operation, kind, kind.boots_again_in(phase.name))
        elif signal == Signal.BOOT_SCRIPT and phase.agent:
            why = "the machine restarted while the agent was at work"
            self._again(session, operation, kind.boots_again_in(phase.name), why, "boot_loop")
        else:
            self._sign_of_life(operation, phase, signal, data)

    def _sign_of_life(self, operation: Operation, phase: Phase, signal: Signal, data: dict[str, Any]) -> None:
        # one that restarts before its agent reports must not do so for ever, nor a playbook run for ever
        if signal != Signal.BOOT_SCRIPT and phase.limit is None:
            operation.deadline = self._deadline(operation, phase)
        if operation.token_expires is not None:
            operation.token_expires = self.clock() + timedelta(seconds=self.settings.deadlines.token)
            tokens.outlive_deadline(operation)
        if signal in (Signal.PROGRESS, Signal.FIRST_BOOT):
            percent = data.get("percent")
            operation.progress = int(percent) if isinstance(percent, int | float) else operation.progress
            operation.message = str(data.get("message", ""))[:1024]
        operation.last_seen = _last_seen(self.clock().isoformat(timespec="seconds"), signal, data)

    def effect_begins(self, session: Session, operation: Operation) -> bool:
        """Count the phase's deadline from now, when a worker begins with its effect; False when nobody wants it any more."""
        hold(session, operation)
        if operation.state != "running" or operation.phase is None:
            return False
        operation.deadline = self._deadline(operation, OPERATIONS[operation.kind].phase(operation.phase))
        return True

    def _advance(self, session: Session, operation: Operation, kind: OperationKind, phase: Phase) -> None:
        following = kind.after(phase.name, operation.parameters)
        if following is not None:
            self._enter(session, operation, following)
        elif kind.is_inquiry(phase.name):  # the agent has found nothing to say
            self.fail(session, operation, _silence(operation))
        else:
            self._succeed(session, operation, kind)

    def _enter(self, session: Session, operation: Operation, phase: Phase) -> None:
        operation.phase = phase.name
        operation.deadline = self._deadline(operation, phase)
        tokens.outlive_deadline(operation)
        operation.progress = None
        operation.message = ""
        self._record(
            session,
            operation,
            "operation.phase",
            f"{operation.machine.name}: {operation.kind}: {phase.name}",
            {"kind": operation.kind, "phase": phase.name, "attempt": operation.attempt},
        )
        if phase.do:
            tasks.enqueue(session, phase.do, {}, machine=operation.machine, operation=operation, now=self.clock())

    def _await_again(self, session: Session, operation: Operation, phase: Phase) -> None:
        """Go back to awaiting the machine, for another one has answered in its place.

        Ours may be on its way still: a stranger's word alone ends nobody's operation. It has as long as it may take from
        power-on, and what the stranger does adds nothing to that.
        """
        operation.phase = phase.name
        operation.token_hash = None
        since = diagnosis.turned_on(session, operation.id) or self.clock()
        operation.deadline = since + timedelta(seconds=getattr(self.settings.deadlines, phase.within))
        message = f"{operation.machine.name}: {operation.kind}: {phase.name} again, for another machine answered"
        self._record(session, operation, "operation.phase", message, {"phase": phase.name, "attempt": operation.attempt})

    def _again(self, session: Session, operation: Operation, to: Phase, why: str, code: str, hint: str = "") -> None:
        if operation.attempt >= self.settings.deadlines.netboot_attempts:
            if OPERATIONS[operation.kind].is_inquiry(operation.phase or ""):
                self.fail(session, operation, _silence(operation, why))
                return
            message = f"{operation.machine.name}: {why}, {operation.attempt} times in a row"
            self.fail(session, operation, {"code": code, "message": message, "hint": hint})
            return
        operation.attempt += 1
        attempts = self.settings.deadlines.netboot_attempts
        message = f"{operation.machine.name}: {why}; attempt {operation.attempt} of {attempts}"
        self._record(session, operation, "operation.retry", message, {"attempt": operation.attempt})
        self._enter(session, operation, to)

    def _inquire(self, session: Session, operation: Operation, to: Phase, why: str) -> None:
        """Nothing was heard of the installed system: have the agent look at what is on the disk."""
        operation.attempt = 1
        message = f"{operation.machine.name}: {why}; the agent looks at its disk"
        self._record(session, operation, "operation.inquiry", message, {"phase": operation.phase})
        self._enter(session, operation, to)

    # -- ending ----------------------------------------------------------------------------------------------------------------

    def _succeed(self, session: Session, operation: Operation, kind: OperationKind) -> None:
        following = self.ending.succeed(session, operation, kind)
        if following:
            self._start_next(session, operation, following)

    def _start_next(self, session: Session, operation: Operation, steps: list[dict[str, Any]]) -> None:
        following, *rest = steps
        try:
            with session.begin_nested():
                follower = self.start(
                    session,
                    operation.machine,
                    following["kind"],
                    following.get("parameters", {}),
                    by=operation.requested_by,
                    then=rest,
                )
            operation.followed_by = follower.id
        except MetalwrightError as error:
            message = f"{operation.machine.name}: {following['kind']} could not follow {operation.kind}: {error.message}"
            operation.message = message[:1024]
            self._record(session, operation, "operation.not_followed", message, error.as_dict())

    def fail(self, session: Session, operation: Operation, said: dict[str, Any]) -> None:
        """End an operation as failed; see ``Ending.fail``."""
        self.ending.fail(session, operation, said)

    def abort(self, session: Session, operation: Operation, *, by: str) -> None:
        """End an operation because a person asked for it; see ``Ending.abort``."""
        self.ending.abort(session, operation, by=by)

    def reap(self, session: Session, now: datetime | None = None) -> int:
        """Deal with every operation whose deadline has passed: try again where its phase says so, else fail it.

        ``now``: the moment by which it has, up to which lost time was made up for (see ``lost_time``); None: this one.
        """
        moment = now or self.clock()
        late = session.scalars(
            select(Operation)
            .where(Operation.state == "running", Operation.deadline < moment, ~tasks.in_line(moment))
            .with_for_update(skip_locked=True, of=Operation)
        ).all()
        return sum(self._reap_one(session, operation) for operation in late)

    def _reap_one(self, session: Session, operation: Operation) -> bool:
        """Deal with one whose deadline has passed; what is wrong with it is logged, ends it, and leaves the others alone."""
        internal = {"code": "internal", "message": f"{operation.machine.name}: the controller could not deal with its deadline"}
        for deal in (self._late, lambda session, operation: self.fail(session, operation, internal)):
            try:
                with session.begin_nested():
                    deal(session, operation)
            except Exception:
                log.exception("an operation whose deadline has passed could not be dealt with", operation=operation.id)
            else:
                return True
        return False

    def _late(self, session: Session, operation: Operation) -> None:
        kind = OPERATIONS[operation.kind]
        phase = kind.phase(operation.phase) if operation.phase else kind.first(operation.parameters)
        silence = diagnosis.of_silence(session, operation, phase, sees_dhcp=self.settings.dhcp.runs_here)
        seconds = self.seconds(operation, phase)
        why = f"{silence.said} ({phase.name}, {seconds} s)"
        if phase.inquiry and silence.code == phase.code:
            self._inquire(session, operation, kind.phase(phase.inquiry), why)
        elif phase.again and not silence.final:
            self._again(session, operation, kind.phase(phase.again), why, silence.code, silence.hint)
        elif kind.is_inquiry(phase.name):
            self.fail(session, operation, _silence(operation, why))
        else:
            message = f"{operation.machine.name}: {why}"
            self.fail(session, operation, {"code": silence.code, "message": message, "hint": silence.hint})

    def seconds(self, operation: Operation, phase: Phase) -> int:
        """How long a phase of this operation may take, or be silent."""
        given = operation.parameters.get(phase.limit) if phase.limit else None
        return int(given or getattr(self.settings.deadlines, phase.within))

    def _deadline(self, operation: Operation, phase: Phase) -> datetime:
        return self.clock() + timedelta(seconds=self.seconds(operation, phase) + phase.grace)

    def _record(
        self, session: Session, operation: Operation, kind: str, message: str, data: dict[str, Any] | None = None
    ) -> None:
        record(session, kind, message, operation=operation, data=data, at=self.clock())


def _silence(operation: Operation, why: str = "") -> dict[str, Any]:
    """The failure of an inquiry that found nothing out; ``why`` it did not, if there was a hindrance."""
    hindrance = f"; the agent could not look at its disk: {why}" if why else ", and its disk does not say why"
    said = diagnosis.said("installed_system_silent")
    return {"code": "installed_system_silent", "message": f"{operation.machine.name}: {said}{hindrance}"}


def _failure_of(phase: Phase) -> Signal:
    """The signal that fails a phase; one that belongs to another phase comes late and is ignored."""
    if phase.agent:
        return Signal.JOB_FAILED
    if phase.until == Signal.PLAYBOOK_DONE:
        return Signal.PLAYBOOK_FAILED
    return Signal.FIRST_BOOT_FAILED if phase.until == Signal.DEPLOYED else Signal.POWER_FAILED


def _last_seen(at: str, signal: Signal, data: dict[str, Any]) -> str:
    message = str(data.get("message", "")).strip()
    return f"{at} {signal}" + (f": {message}" if message else "")[:1000]
