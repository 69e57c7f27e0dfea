# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine explained: where it stands, what it does or what it failed at, and every way out from there.

Nothing about the ways is written down here: they are the lines of the table that begin where the machine stands, and whether
one is open now is what the engine itself says to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from metalwright.errors import Conflict
from metalwright.lifecycle import actions, diagnosis
from metalwright.lifecycle.ending import LIVE
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.operations import OPERATIONS, OperationKind, Phase
from metalwright.lifecycle.starting import check_may_start
from metalwright.lifecycle.states import MEANINGS, State
from metalwright.lifecycle.transitions import ACTIONS
from metalwright.store.models import Event, Machine, Operation


def explain(session: Session, engine: Engine, machine: Machine) -> dict[str, Any]:
    """Return ``{machine, state, meaning, notes, doing, failure, ways}``; moments are ISO 8601.

    ``doing`` is None or ``{operation, kind, state, phase, attempt, message, progress, since, last_seen, deadline, otherwise}``;
    ``failure`` is None or a failure record with ``operation, kind, at`` and ``what`` the code means. Each of ``ways`` is
    ``{action, leads_to, command, refused, hint}``; ``refused`` says why not now and is empty for a way that is open. They come
    as people look for them: what failed once more, what leads to another state, what changes none, what forgets it.
    """
    operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
    failure = None if operation else _failure(session, machine)
    again = (failure or {}).get("kind")
    return {
        "machine": machine.name,
        "state": machine.state,
        "meaning": MEANINGS[State(machine.state)],
        "notes": list(_notes(session, machine)),
        "doing": _doing(session, engine, operation) if operation else None,
        "failure": failure,
        "ways": [*_out_of(operation), *sorted(_from_here(session, machine), key=lambda way: _rank(way, machine.state, again))],
    }


def _notes(session: Session, machine: Machine) -> Iterator[str]:
    """What else there is to know before anything is done to it."""
    if machine.locked:
        yield "It is locked: nothing is done to it until it is unlocked."
    if machine.state == State.BROKEN:
        marked = _last_event(session, machine, "machine.broken")
        yield f"{marked.message} ({marked.at.isoformat(timespec='seconds')})." if marked else f"Note: {machine.note or 'none'}."
    if (machine.deployed or {}).get("adopted"):
        yield "It was adopted with the system it runs: that is wiped only by those who say so (wipe_adopted)."
    if machine.state == State.RESCUE and machine.rescue:
        address = machine.rescue.get("address")
        yield (
            f"Log in with the key that was given: ssh root@{address}"
            if address
            else "Log in as root with the key that was given. Its address is not known here: its console shows it."
        )
    if machine.allocation is not None:
        yield f"It belongs to the allocation {machine.allocation.name}."
    if machine.test_status in ("failed", "overridden"):
        yield f"Its last tests: {machine.test_status}."
    if machine.power_driver == "manual":
        yield "Its power driver is manual: whoever stands beside it turns it on and off."
    if machine.power_failure:
        yield f"Its power driver does not answer: {machine.power_failure.get('message')}"


def _doing(session: Session, engine: Engine, operation: Operation) -> dict[str, Any]:
    kind = OPERATIONS[operation.kind]
    phase = kind.phase(operation.phase) if operation.phase else None
    entered = session.scalar(
        select(func.max(Event.at)).where(Event.operation_id == operation.id, Event.kind == "operation.phase")
    )
    return {
        "operation": operation.id,
        "kind": operation.kind,
        "state": operation.state,
        "phase": operation.phase,
        "attempt": operation.attempt,
        "message": operation.message,
        "progress": operation.progress,
        "since": (entered or operation.created_at).isoformat(),
        "last_seen": diagnosis.last_seen(session, operation),
        "deadline": operation.deadline.isoformat() if operation.deadline else None,
        "otherwise": _otherwise(session, engine, operation, phase) if phase else "",
    }


def _otherwise(session: Session, engine: Engine, operation: Operation, phase: Phase) -> str:
    """What happens if nothing more is heard until the deadline, and what that would mean."""
    sees_dhcp = engine.settings.dhcp.runs_here
    silence = diagnosis.of_silence(session, operation, phase, sees_dhcp=sees_dhcp)
    attempts = engine.settings.deadlines.netboot_attempts
    if phase.inquiry and silence.code == phase.code:
        then = "the agent is booted to look at its disk"
    elif phase.again and not silence.final and operation.attempt < attempts:
        then = f"it is turned on anew, attempt {operation.attempt + 1} of {attempts}"
    else:
        then = "the operation fails"
    return f"{then} ({silence.code}: {silence.said}). {silence.hint or CAUSES[silence.code].hint}"


def _failure(session: Session, machine: Machine) -> dict[str, Any] | None:
    """The failure record of the machine's last operation, or the one the machine keeps; a power call that worked hides none."""
    statement = select(Operation).where(Operation.machine_id == machine.id, Operation.state.not_in(LIVE))
    statement = statement.options(defer(Operation.parameters), defer(Operation.next))
    ended = session.scalars(statement.order_by(Operation.ended_at.desc(), Operation.id).limit(20))
    last = next((each for each in ended if each.failure or OPERATIONS[each.kind].starts is not None), None)
    record = (last.failure if last else None) or machine.failure
    if record is None:
        return None
    told = last if last and last.failure else None
    return {
        "operation": told.id if told else None,
        "kind": told.kind if told else None,
        "at": told.ended_at.isoformat() if told and told.ended_at else None,
        "what": CAUSES[record["code"]].what if record["code"] in CAUSES else "",
        **record,
    }


def _out_of(operation: Operation | None) -> Iterator[dict[str, Any]]:
    """The ways out of what is under way: wait for its end, or make one."""
    if operation is None:
        return
    kind = OPERATIONS[operation.kind]
    phase = kind.phase(operation.phase) if operation.phase else None
    harmless = phase is None or phase.harmless or kind.starts is None
    yield _way("wait", _ends(kind, operation.parameters) or {operation.from_state}, f"metalwright operation wait {operation.id}")
    back = operation.from_state if harmless else State.FAILED
    yield _way("abort", {back}, f"metalwright operation abort {operation.id}")


def _rank(way: Mapping[str, Any], state: str, again: str | None) -> int:
    if way["action"] == again:
        return 0
    return 3 if not way["leads_to"] else 2 if way["leads_to"] == [state] else 1


def _from_here(session: Session, machine: Machine) -> Iterator[dict[str, Any]]:
    """Every line of the table that begins where the machine stands; then what is no change of state."""
    state = State(machine.state)
    for kind in OPERATIONS.values():
        if state in kind.allowed:
            refusal = _refusal(lambda kind=kind: check_may_start(session, machine, kind, {}))  # type: ignore[misc]
            yield _way(kind.name, _ends(kind, {}) or {state}, _command(session, machine, kind.name), refusal)
    for action in ACTIONS.values():
        if state in action.allowed:
            refusal = _refusal(lambda action=action: actions.check(session, machine, action.name))  # type: ignore[misc]
            yield _way(action.name, action.ends, _command(session, machine, action.name), refusal)
    lock = "unlock" if machine.locked else "lock"
    yield _way(lock, {state}, f"metalwright machine {lock} {machine.name}")
    refusal = _refusal(lambda: actions.check_delete(session, machine, force=False))
    yield _way("delete", (), f"metalwright machine delete {machine.name}", refusal)


def _ends(kind: OperationKind, parameters: Mapping[str, Any]) -> Collection[State]:
    """Where an operation leads; a release ends the allocation unless it was told to keep it."""
    return {State.READY} if kind.name == "release" and not parameters.get("keep_allocation") else kind.ends


def _refusal(check: Callable[[], None]) -> Conflict | None:
    try:
        check()
    except Conflict as refusal:
        return refusal
    return None


def _way(action: str, leads_to: Any, command: str, refusal: Conflict | None = None) -> dict[str, Any]:
    return {
        "action": action,
        "leads_to": sorted(str(state) for state in leads_to),
        "command": command,
        "refused": refusal.message if refusal else "",
        "hint": refusal.hint if refusal else "",
    }


def _command(session: Session, machine: Machine, action: str) -> str:
    """The command for it, with what it can not do without."""
    if action == "allocate":
        return f"metalwright allocation set NAME --machine {machine.name}"
    if action == "give-back" and machine.allocation is not None:
        return f"metalwright allocation set {machine.allocation.name} --count {len(machine.allocation.machines) - 1}"
    needed = {"deploy": f" --image {_image(session, machine)}", "rescue": " --ssh-key FILE"}.get(action, "")
    return f"metalwright machine {action.replace('power-', 'power ')} {machine.name}{needed}"


def _image(session: Session, machine: Machine) -> str:
    """The image it was last deployed with, or was to be."""
    statement = select(Operation.parameters).where(Operation.machine_id == machine.id, Operation.kind == "deploy")
    parameters = session.scalar(statement.order_by(Operation.created_at.desc()).limit(1)) or {}
    return str(parameters.get("image") or "IMAGE")


def _last_event(session: Session, machine: Machine, kind: str) -> Event | None:
    statement = select(Event).where(Event.machine_id == machine.id, Event.kind == kind)
    return session.scalar(statement.order_by(Event.id.desc()).limit(1))
