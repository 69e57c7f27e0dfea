# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of scripts on machines: made when the agent asks for them, settled by what it reports.

Everything works inside the caller's writing transaction. A run goes from ``pending`` over ``running`` to one of the others and
never back, but for one that may reboot its machine: it is ``pending`` again when the machine is back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, select, update
from sqlalchemy.orm import Session

from metalwright.errors import MetalwrightError
from metalwright.lifecycle.held import hold
from metalwright.lifecycle.script_choice import KINDS, choose
from metalwright.store.events import record
from metalwright.store.models import Operation, ScriptRun

OPEN = ("pending", "running")
"""Statuses of a run that has not ended."""
BAD = ("failed", "timeout")
MOST_REBOOTS = 10
"""Of one run; more are a machine that restarts for ever."""
OUTPUT_CHARACTERS = 64 << 10
_LOG_TAIL = 4096
_WORDS = {
    "running": "began",
    "passed": "passed",
    "failed": "failed",
    "timeout": "was not done in time",
    "skipped": "was skipped",
}


def of(session: Session, operation: Operation) -> list[ScriptRun]:
    """The runs of an operation, in order."""
    wanted = select(ScriptRun).where(ScriptRun.operation_id == operation.id).order_by(ScriptRun.position)
    return list(session.scalars(wanted))


def make(session: Session, operation: Operation, *, kept: int, now: datetime) -> list[ScriptRun]:
    """The runs of an operation, made now if there are none yet. Of older ones ``kept`` per script and machine stay.

    Raises what ``script_choice.choose`` raises where scripts were changed since the operation was requested.
    """
    hold(session, operation)
    if made := of(session, operation):
        return made
    for position, choice in enumerate(choose(session, operation.machine, operation.kind, operation.parameters)):
        script = choice.script
        run = ScriptRun(
            operation_id=operation.id,
            machine_id=operation.machine_id,
            script_name=script.name,
            kind=script.kind,
            position=position,
            source=script.source,
            timeout_seconds=script.timeout,
            required=script.required,
            parallel=script.parallel,
            may_reboot=script.may_reboot,
            parameters=dict(choice.parameters),
            created_at=now,
        )
        if not choice.fits:
            run.status, run.ended_at = "skipped", now
            run.output = f"The script is not for this machine's hardware: {script.hardware}\n"
        session.add(run)
    session.flush()
    made = of(session, operation)
    _forget(session, operation, [run.script_name for run in made], kept)
    return made


def _forget(session: Session, operation: Operation, names: list[str], kept: int) -> None:
    newest = func.row_number().over(partition_by=ScriptRun.script_name, order_by=(ScriptRun.created_at.desc(), ScriptRun.id))
    mine = ScriptRun.machine_id == operation.machine_id
    numbered = select(ScriptRun.id, newest.label("number")).where(mine, ScriptRun.script_name.in_(names)).subquery()
    old = select(numbered.c.id).where(numbered.c.number > kept)
    session.execute(delete(ScriptRun).where(ScriptRun.id.in_(old)).execution_options(synchronize_session=False))


def restarted(session: Session, operation: Operation, now: datetime) -> None:
    """The agent begins anew: a run that was under way goes on if it may reboot its machine, else it has failed."""
    if operation.kind not in KINDS:
        return
    for run in of(session, operation):
        if run.status != "running":
            continue
        if run.may_reboot and run.reboots < MOST_REBOOTS:
            run.status = "pending"
            run.reboots += 1
            operation.attempt = 1  # it was meant to boot again
        else:
            why = f"more often than {MOST_REBOOTS} times" if run.may_reboot else "while it ran"
            run.output = _end(f"{run.output}\nThe machine restarted {why}.\n")
            _close(session, operation, run, "failed", now)


def report(session: Session, operation: Operation, run: ScriptRun, said: dict[str, Any], now: datetime) -> None:
    """Note what the agent says of a run: ``status, exit_status, output, result, runtime_seconds``.

    One that has ended stays as it is.
    """
    if run.status not in OPEN:
        return
    run.output = _end(said["output"])
    run.exit_status, run.result, run.runtime_seconds = said["exit_status"], said["result"], said["runtime_seconds"]
    if said["status"] != "running":
        _close(session, operation, run, said["status"], now)
    elif run.status == "pending":
        run.status = "running"
        run.started_at = run.started_at or now
        _tell(session, operation, run, "running", now)


def _close(session: Session, operation: Operation, run: ScriptRun, status: str, now: datetime) -> None:
    run.status = status
    run.started_at = run.started_at or now
    run.ended_at = now
    _tell(session, operation, run, status, now)


def _tell(session: Session, operation: Operation, run: ScriptRun, status: str, now: datetime) -> None:
    data = {"run": run.id, "script": run.script_name, "kind": run.kind, "status": status, "exit_status": run.exit_status}
    text = f"{operation.machine.name}: {run.script_name} {_WORDS[status]}"
    record(session, f"script.{status}", text, operation=operation, data=data, at=now)


_RUN = ScriptRun.__table__.c
_MAY_REBOOT = select(exists().where(_RUN.operation_id == bindparam("operation"), _RUN.status == "running", _RUN.may_reboot))


def may_reboot_now(session: Session, operation: Operation) -> bool:
    """Whether a script is under way that may reboot the machine: it may be silent for as long as that takes."""
    if operation.kind not in KINDS:
        return False
    return bool(session.scalar(_MAY_REBOOT, {"operation": operation.id}))


def verdict(session: Session, operation: Operation, *, over: bool) -> dict[str, Any] | None:
    """Why the operation fails because of its scripts, as ``Engine.fail`` takes it; None: it does not.

    ``over``: the agent says that it has run all. Before that only a script other than a test ends the operation.
    """
    runs = of(session, operation)
    bad = [run for run in runs if run.required and run.status in BAD]
    if first := next((run for run in bad if run.kind != "test"), None):
        return _failure(operation, "script_failed", [first])
    if not over:
        return None
    if bad:
        return _failure(operation, "test_failed", bad)
    if left := [run.script_name for run in runs if run.status in OPEN]:
        message = f"{operation.machine.name}: the agent ended its work without running {', '.join(left)}"
        return {"code": "agent_error", "message": message}
    return None


def _failure(operation: Operation, code: str, runs: list[ScriptRun]) -> dict[str, Any]:
    first = runs[0]
    told = ", ".join(f"{run.script_name} ({_how(run)})" for run in runs)
    command = f"metalwright script output {operation.machine.name} {first.script_name}"
    test, other = "Mend the machine and test it again, or override the test.", "Mend that, then start again."
    return {
        "code": code,
        "message": f"{operation.machine.name}: {'tests' if code == 'test_failed' else first.kind} failed: {told}",
        "log_tail": first.output[-_LOG_TAIL:],
        "hint": f"All it printed: {command}. {test if code == 'test_failed' else other}",
    }


def _how(run: ScriptRun) -> str:
    if run.status == "timeout":
        return f"not done after {run.timeout_seconds} s"
    return f"exit status {run.exit_status}" if run.exit_status is not None else "failed"


def settle(session: Session, operation: Operation) -> None:
    """Note on the machine how its tests went, once all that will run have."""
    tests = [run for run in of(session, operation) if run.kind == "test" and run.status not in OPEN]
    if any(run.required and run.status in BAD for run in tests):
        operation.machine.test_status = "failed"
    elif any(run.status != "skipped" for run in tests):
        operation.machine.test_status = "passed"


def close_all(session: Session, operation: Operation, now: datetime) -> None:
    """The operation has ended: what had not is ``aborted``."""
    if operation.kind not in KINDS:
        return
    left = update(ScriptRun).where(ScriptRun.operation_id == operation.id, ScriptRun.status.in_(OPEN))
    session.execute(left.values(status="aborted", ended_at=now))


def gone(operation: Operation, error: MetalwrightError) -> dict[str, Any]:
    """The failure of an operation whose scripts were changed between the request and the machine's boot."""
    message = f"{operation.machine.name}: the scripts were changed since this was requested: {error.message}"
    return {"code": "script_failed", "message": message, "hint": error.hint or "Start the operation again."}


def _end(output: str) -> str:
    return output[-OUTPUT_CHARACTERS:]
