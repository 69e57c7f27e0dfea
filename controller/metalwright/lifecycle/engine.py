# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: advances operations by signals, deadlines and aborts.

Every method works inside the caller's writing transaction and does nothing but change rows: the state, the event log and the
next effects become true together or not at all. So nothing lives in memory, and any process can go on with any operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.errors import Conflict, MetalwrightError
from metalwright.lifecycle import diagnosis, pools, tasks
from metalwright.lifecycle.deploy import check_hostname_free, check_not_adopted
from metalwright.lifecycle.ending import Ending
from metalwright.lifecycle.held import hold
from metalwright.lifecycle.operations import FAILURES, OPERATIONS, OperationKind, Phase, Signal
from metalwright.lifecycle.states import State, way_on
from metalwright.lifecycle.transitions import transition
from metalwright.network.addresses import ensure_address
from metalwright.store.base import Clock, utcnow
from metalwright.store.events import record
from metalwright.store.models import Machine, Operation

log = structlog.get_logger()

INSTALLS = 0x6D77_696E
"""Number of the lock of PostgreSQL under which installations are counted and begun; see ``tasks.one_at_a_time``."""


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
        ``hostname_taken``, or what ``network.addresses.ensure_address`` raises.
        """
        declared = OPERATIONS[kind]
        self.check_may_start(session, machine, declared, parameters)
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
            machine.hostname = hostname
        if declared.starts is not None:
            self._give_address(session, machine, kind, parameters)
        data = {"kind": kind, "before": operation.from_state, "state": machine.state, "by": by}
        self._record(session, operation, "operation.started", f"{machine.name}: {declared.label} requested by {by}", data)
        if declared.limited and self._installing(session) >= self.settings.limits.installs:
            operation.message = f"waiting in line: {self.settings.limits.installs} installations are under way"
        else:
            self._begin(session, operation)
        return operation

    def check_may_start(self, session: Session, machine: Machine, kind: OperationKind, parameters: dict[str, Any]) -> None:
        """Raise ``Conflict`` unless the operation may start now: see ``start``."""
        check_idle(session, machine)
        if machine.locked:
            raise Conflict("machine_locked", f"{machine.name} is locked.", "Unlock it first.", machine=machine.name)
        if machine.state not in kind.allowed:
            allowed = ", ".join(sorted(kind.allowed))
            raise Conflict(
                "wrong_state",
                f"{machine.name} is {machine.state}; {kind.label} starts from: {allowed}.",
                way_on(machine.state, machine.name),
                state=machine.state,
                machine=machine.name,
            )
        if kind.name in ("deploy", "release") and not parameters.get("wipe_adopted"):
            check_not_adopted(machine, kind.label)
        if kind.name == "deploy" and machine.state == State.DEPLOYED and not parameters.get("redeploy"):
            raise Conflict(
                "wrong_state",
                f"{machine.name} is deployed already; deploying again wipes it.",
                "Release it first, or converge with on_drift=redeploy.",
                state=machine.state,
                machine=machine.name,
            )
        if kind.name == "deploy" and machine.hardware is None:
            raise Conflict(
                "wrong_state",
                f"{machine.name} was never commissioned, so its disks are unknown.",
                "Commission it first.",
                state=machine.state,
                machine=machine.name,
            )

    def _give_address(self, session: Session, machine: Machine, kind: str, parameters: dict[str, Any]) -> None:
        if kind == "rescue" and machine.deployed:
            return  # it goes on with the address it was deployed with
        wanted = parameters.get("address", "auto") if kind == "deploy" else "auto"
        try:
            ensure_address(session, machine, wanted, ours=urlsplit(self.settings.node.url).hostname)
        except MetalwrightError:
            if kind == "deploy":
                raise
            # the agent does its work on any address that DHCP hands out

    def _installing(self, session: Session) -> int:
        """How many are under way. Until the transaction ends nobody else counts: what it begins would not be seen."""
        tasks.one_at_a_time(session, INSTALLS)
        limited = [kind.name for kind in OPERATIONS.values() if kind.limited]
        statement = select(func.count()).where(
            Operation.state == "running", Operation.kind.in_(limited), Operation.phase != "first-boot"
        )
        return session.scalar(statement) or 0

    def _begin(self, session: Session, operation: Operation) -> None:
        operation.state = "running"
        operation.started_at = self.clock()
        operation.message = ""
        self._enter(session, operation, OPERATIONS[operation.kind].phases[0])

    def promote(self, session: Session) -> int:
        """Begin operations that wait in line, oldest first, as far as there is room; answers how many."""
        waiting = session.scalars(
            select(Operation)
            .where(Operation.state == "queued")
            .order_by(Operation.created_at)
            .with_for_update(skip_locked=True, of=Operation)
        ).all()
        room = self.settings.limits.installs - self._installing(session) if waiting else 0
        for operation in waiting[: max(room, 0)]:
            self._begin(session, operation)
        return min(len(waiting), max(room, 0))

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
        if signal != Signal.BOOT_SCRIPT:  # one that restarts before its agent reports must not do so for ever
            operation.deadline = self._deadline(phase)
        if operation.token_expires is not None:
            operation.token_expires = self.clock() + timedelta(seconds=self.settings.deadlines.token)
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
        operation.deadline = self._deadline(OPERATIONS[operation.kind].phase(operation.phase))
        return True

    def _advance(self, session: Session, operation: Operation, kind: OperationKind, phase: Phase) -> None:
        following = kind.after(phase.name)
        if following is not None:
            self._enter(session, operation, following)
        elif kind.is_inquiry(phase.name):  # the agent has found nothing to say
            self.fail(session, operation, _silence(operation))
        else:
            self._succeed(session, operation, kind)

    def _enter(self, session: Session, operation: Operation, phase: Phase) -> None:
        operation.phase = phase.name
        operation.deadline = self._deadline(phase)
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
        since = diagnosis.turned_on(session, operation) or self.clock()
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
                self.start(
                    session,
                    operation.machine,
                    following["kind"],
                    following.get("parameters", {}),
                    by=operation.requested_by,
                    then=rest,
                )
        except MetalwrightError as error:
            message = f"{operation.machine.name}: {following['kind']} could not follow {operation.kind}: {error.message}"
            self._record(session, operation, "operation.not_followed", message, error.as_dict())

    def fail(self, session: Session, operation: Operation, said: dict[str, Any]) -> None:
        """End an operation as failed; see ``Ending.fail``."""
        self.ending.fail(session, operation, said)

    def abort(self, session: Session, operation: Operation, *, by: str) -> None:
        """End an operation because a person asked for it; see ``Ending.abort``."""
        self.ending.abort(session, operation, by=by)

    def reap(self, session: Session) -> int:
        """Deal with every operation whose deadline has passed: try again where its phase says so, else fail it."""
        late = session.scalars(
            select(Operation)
            .where(Operation.state == "running", Operation.deadline < self.clock(), ~tasks.in_line())
            .with_for_update(skip_locked=True, of=Operation)
        ).all()
        return sum(self._reap_one(session, operation) for operation in late)

    def _reap_one(self, session: Session, operation: Operation) -> bool:
        """Deal with one whose deadline has passed; what is wrong with it is logged and leaves the others alone."""
        try:
            with session.begin_nested():
                self._late(session, operation)
        except Exception:
            log.exception("an operation whose deadline has passed could not be dealt with", operation=operation.id)
            return False
        return True

    def _late(self, session: Session, operation: Operation) -> None:
        kind = OPERATIONS[operation.kind]
        phase = kind.phase(operation.phase or kind.phases[0].name)
        silence = diagnosis.of_silence(session, operation, phase, sees_dhcp=self.settings.dhcp.engine != "none")
        seconds = getattr(self.settings.deadlines, phase.within)
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

    def _deadline(self, phase: Phase) -> Any:
        return self.clock() + timedelta(seconds=getattr(self.settings.deadlines, phase.within))

    def _record(
        self, session: Session, operation: Operation, kind: str, message: str, data: dict[str, Any] | None = None
    ) -> None:
        record(session, kind, message, operation=operation, data=data, at=self.clock())


def check_idle(session: Session, machine: Machine) -> None:
    """Raise ``Conflict`` (``machine_busy``) naming the operation under way."""
    if machine.operation_id is None:
        return
    running = session.get(Operation, machine.operation_id)
    name = OPERATIONS[running.kind].label if running else "operation"
    where = f", in {running.phase}" if running and running.phase else ""
    raise Conflict(
        "machine_busy",
        f"{machine.name} is busy: {name} ({machine.operation_id}) is under way{where}.",
        f"Wait for it, or abort it: metalwright operation abort {machine.operation_id}",
        operation=machine.operation_id,
        kind=running.kind if running else None,
        machine=machine.name,
    )


def _silence(operation: Operation, why: str = "") -> dict[str, Any]:
    """The failure of an inquiry that found nothing out; ``why`` it did not, if there was a hindrance."""
    hindrance = f"; the agent could not look at its disk: {why}" if why else ", and its disk does not say why"
    said = diagnosis.said("installed_system_silent")
    return {"code": "installed_system_silent", "message": f"{operation.machine.name}: {said}{hindrance}"}


def _failure_of(phase: Phase) -> Signal:
    """The signal that fails a phase; one that belongs to another phase comes late and is ignored."""
    if phase.agent:
        return Signal.JOB_FAILED
    return Signal.FIRST_BOOT_FAILED if phase.until == Signal.DEPLOYED else Signal.POWER_FAILED


def _last_seen(at: str, signal: Signal, data: dict[str, Any]) -> str:
    message = str(data.get("message", "")).strip()
    return f"{at} {signal}" + (f": {message}" if message else "")[:1000]
