# SPDX-License-Identifier: GPL-3.0-or-later
"""Named allocations: ``hadoop`` wants four machines with 16 GiB. Asking again changes nothing.

Constraints choose machines when they are added. Choosing is one conditional UPDATE per machine, cheapest fit first; no lock is
held beyond the rows taken, and a request that can not be satisfied takes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, NotFound
from metalwright.lifecycle.expression import LENGTH, parse
from metalwright.lifecycle.facts import facts
from metalwright.lifecycle.starting import check_idle
from metalwright.lifecycle.states import State, way_on
from metalwright.lifecycle.transitions import transition
from metalwright.store.events import record
from metalwright.store.models import Allocation, Machine

_UNITS = {"MiB": 1, "GiB": 1 << 10, "TiB": 1 << 20, "MB": 1e6 / (1 << 20), "GB": 1e9 / (1 << 20), "TB": 1e12 / (1 << 20)}


def _mebibytes(value: Any) -> Any:
    """``16GiB``, ``500 GB`` or a number of MiB, as MiB."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([A-Za-z]+)?", value)
    if not found or (found[2] or "MiB") not in _UNITS:
        raise ValueError(f"must be a size such as 16GiB; units: {', '.join(_UNITS)}")
    return int(float(found[1]) * _UNITS[found[2] or "MiB"])


Size = Annotated[
    int,
    Field(ge=0, le=1 << 40),
    BeforeValidator(_mebibytes),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["16GiB"]}, {"type": "integer", "minimum": 0}]}),
]
"""A size: text with a unit, or MiB."""

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

Word = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Names of allocations, tags, pools, zones and tokens."""


def _condition(text: str) -> str:
    parse(text)
    return text


Condition = Annotated[str, Field(min_length=1, max_length=LENGTH), AfterValidator(_condition)]
"""An expression over the hardware. One that is not valid raises ``Invalid`` (``expression_invalid``), which names the place."""


class Constraints(BaseModel):
    """What a machine must have to be chosen. Sizes are given as ``16GiB`` or in MiB and kept in MiB."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Word | None = Field(None, description="Exactly this machine.")
    min_cpus: int | None = Field(None, ge=1, le=1 << 20, description="Processor threads, at least.")
    min_memory: Size | None = Field(None, description="Memory, at least: 16GiB, or MiB.")
    min_disk: Size | None = Field(None, description="The largest disk, at least: 100GiB, or MiB.")
    arch: Word | None = Field(None, description="Architecture, for example amd64.")
    tags: list[Word] = Field([], max_length=64, description="All of these tags.")
    not_tags: list[Word] = Field([], max_length=64, description="None of these tags.")
    pool: Word | None = Field(None, description="Pool.")
    zone: Word | None = Field(None, description="Zone.")
    hardware: Condition | None = Field(None, description="Condition over the hardware, as in rules: nic.vendor ~ Mellanox")

    def stored(self) -> dict[str, Any]:
        """What is set, for the database; equal for equal wishes."""
        return self.model_dump(exclude_none=True, exclude_defaults=True)


class Facts(Protocol):
    """What choosing looks at: a machine, or a row of these columns."""

    id: Any
    name: Any
    state: Any
    locked: Any
    allocation_id: Any
    operation_id: Any
    arch: Any
    pool: Any
    zone: Any
    tags: Any
    cpu_count: Any
    memory_mib: Any
    disk_gib: Any


_COLUMNS = tuple(getattr(Machine, name) for name in Facts.__annotations__)


@dataclass(frozen=True)
class Outcome:
    """What a request did: names of machines that came and went."""

    allocation: Allocation | None
    changed: bool
    added: list[str]
    removed: list[str]


def misfits(machine: Facts, wished: Constraints, unfit: Container[str]) -> Iterator[str]:
    """Names of the constraints that a machine does not satisfy; ``unfit``: identifiers of those with the wrong hardware."""
    tags = set(machine.tags)
    if wished.name and machine.name != wished.name:
        yield "name"
    if wished.min_cpus and (machine.cpu_count or 0) < wished.min_cpus:
        yield "min_cpus"
    if wished.min_memory and (machine.memory_mib or 0) < wished.min_memory:
        yield "min_memory"
    if wished.min_disk and (machine.disk_gib or 0) * 1024 < wished.min_disk:
        yield "min_disk"
    if not set(wished.tags) <= tags:
        yield "tags"
    if set(wished.not_tags) & tags:
        yield "not_tags"
    for name in ("arch", "pool", "zone"):
        if getattr(wished, name) and getattr(machine, name) != getattr(wished, name):
            yield name
    if machine.id in unfit:
        yield "hardware"


def _unfit(session: Session, wished: Constraints) -> frozenset[str]:
    """Identifiers of the machines of which the condition over the hardware is not true; those without inventory among them."""
    if wished.hardware is None:
        return frozenset()
    fits, machines = parse(wished.hardware).matches, session.scalars(select(Machine))
    return frozenset(machine.id for machine in machines if not (machine.hardware and fits(facts(machine))))


def put(session: Session, name: str, count: int, wished: Constraints, *, by: str, now: datetime) -> Outcome:
    """Make the allocation ``name`` hold ``count`` machines that satisfy ``wished``; nothing changes when it does already.

    When the constraints change, members that no longer fit are exchanged. Raises ``Conflict``: ``not_enough_machines`` (details
    say how many fit and why the others do not) and ``machines_in_use`` (giving back would need a release). The caller's
    transaction must then be rolled back: nothing is taken.
    """
    allocation = session.scalar(select(Allocation).where(Allocation.name == name).with_for_update(of=Allocation))
    created = allocation is None
    if allocation is None:
        allocation = Allocation(name=name, count=count, constraints=wished.stored(), created_at=now)
        session.add(allocation)
        session.flush()
    members = _members(session, allocation)
    unfit = _unfit(session, wished)
    removed: list[Machine] = []
    if allocation.constraints != wished.stored():
        removed = [machine for machine in members if any(misfits(machine, wished, unfit))]
    staying = [machine for machine in members if machine not in removed]
    if len(staying) > count:
        removed += _dearest(staying, len(staying) - count)
        staying = [machine for machine in staying if machine not in removed]
    _give_back(session, allocation, removed, by, now)
    added = _take(session, allocation, wished, unfit, count, len(staying), by, now)
    changed = created or bool(added or removed) or (allocation.count, allocation.constraints) != (count, wished.stored())
    allocation.count, allocation.constraints = count, wished.stored()
    outcome = Outcome(allocation, changed, [m.name for m in added], [m.name for m in removed])
    if changed:
        _tell(session, outcome, name, "allocation.changed", f"allocation {name}: {count} machines, by {by}", now)
    return outcome


def hold(session: Session, machine: Machine, name: str, *, by: str, now: datetime) -> bool:
    """Have the allocation ``name`` hold exactly this machine, wherever it stands; false when it does already.

    An allocation of that name is made if there is none. Raises ``Conflict``: ``allocation_of_others`` if there is one without
    this machine, ``held_already`` if another one has it, ``machine_busy``, ``machine_locked``.
    """
    if machine.allocation is not None:
        if machine.allocation.name == name:
            return False
        held = f"{machine.name} is held by allocation {machine.allocation.name}, not by {name}."
        raise Conflict("held_already", held, "Give it back first, or name that one.", allocation=machine.allocation.name)
    check_idle(session, machine)
    if machine.locked:
        raise Conflict("machine_locked", f"{machine.name} is locked.", "Unlock it first.", machine=machine.name)
    if session.scalar(select(Allocation.id).where(Allocation.name == name)) is not None:
        there = f"There is an allocation {name}, and {machine.name} is not among its machines."
        raise Conflict("allocation_of_others", there, "Raise its count, or name another allocation.", allocation=name)
    wished = Constraints(name=machine.name)
    allocation = Allocation(name=name, count=1, constraints=wished.stored(), created_at=now)
    session.add(allocation)
    session.flush()
    before = machine.state
    if machine.state == State.READY:
        transition(session, machine, State.ALLOCATED, holder=None, new_holder=None)
    elif machine.state == State.RESCUE and machine.former_state == State.READY:
        machine.former_state = State.ALLOCATED
    machine.allocation = allocation
    message = f"{machine.name} was given to allocation {name}, by {by}"
    data = {"by": by, "allocation": name, "before": before, "state": machine.state}
    record(session, "machine.allocated", message, machine=machine, data=data, at=now)
    outcome = Outcome(allocation, True, [machine.name], [])
    _tell(session, outcome, name, "allocation.changed", f"allocation {name}: {machine.name}, by {by}", now)
    return True


def delete(session: Session, name: str, *, by: str, now: datetime) -> Outcome:
    """Give all machines of an allocation back. Raises ``NotFound`` and ``Conflict`` (``machines_in_use``)."""
    allocation = find(session, name, lock=True)
    members = _members(session, allocation)
    _give_back(session, allocation, members, by, now)
    session.flush()
    session.expire(allocation, ["machines"])
    session.delete(allocation)
    outcome = Outcome(None, True, [], [machine.name for machine in members])
    _tell(session, outcome, name, "allocation.deleted", f"allocation {name} was given back by {by}", now)
    return outcome


def find(session: Session, name: str, *, lock: bool = False) -> Allocation:
    """The allocation of that name. Raises ``NotFound`` (``allocation_not_found``)."""
    statement = select(Allocation).where(Allocation.name == name)
    allocation = session.scalar(statement.with_for_update(of=Allocation) if lock else statement)
    if allocation is None:
        raise NotFound("allocation_not_found", f"There is no allocation {name}.", allocation=name)
    return allocation


def _members(session: Session, allocation: Allocation) -> list[Machine]:
    return list(session.scalars(select(Machine).where(Machine.allocation_id == allocation.id).order_by(Machine.name)).all())


def _cost(machine: Facts) -> tuple[float, str]:
    return ((machine.cpu_count or 0) + (machine.memory_mib or 0) / 1024, machine.name)


def _idle(machine: Facts) -> bool:
    """Nothing is done to it, and nothing is on it: one that was held before it was commissioned is given back as it is."""
    return machine.state in (State.ALLOCATED, State.NEW) and machine.operation_id is None


def _dearest(members: Sequence[Machine], count: int) -> list[Machine]:
    """Those to give back: first the ones that nothing runs on, the dearest first."""
    return sorted(members, key=lambda machine: (_idle(machine), _cost(machine)), reverse=True)[:count]


def _give_back(session: Session, allocation: Allocation, machines: Sequence[Machine], by: str, now: datetime) -> None:
    used = [machine for machine in machines if not _idle(machine)]
    if used:
        names = [machine.name for machine in used]
        said = ", ".join(f"{machine.name} is {machine.state}" for machine in used[:5])
        raise Conflict(
            "machines_in_use",
            f"{allocation.name} can not give back enough machines: {said}.",
            " ".join(f"{m.name}: {way_on(m.state, m.name) or 'Wait until nothing is under way.'}" for m in used[:3]),
            machines=names,
        )
    for machine in machines:
        before = machine.state
        if before == State.ALLOCATED:
            transition(session, machine, State.READY, holder=None, new_holder=None)
        machine.allocation_id = None
        message = f"{machine.name} left allocation {allocation.name}, by {by}"
        data = {"by": by, "allocation": allocation.name, "before": before, "state": machine.state}
        record(session, "machine.given-back", message, machine=machine, data=data, at=now)
    session.flush()


def _take(
    session: Session,
    allocation: Allocation,
    wished: Constraints,
    unfit: Container[str],
    count: int,
    held: int,
    by: str,
    now: datetime,
) -> list[Machine]:
    missing = count - held
    if missing <= 0:
        return []
    free = select(*_COLUMNS).where(Machine.state == State.READY, Machine.allocation_id.is_(None), Machine.operation_id.is_(None))
    fitting = sorted((m for m in session.execute(free) if not m.locked and not any(misfits(m, wished, unfit))), key=_cost)
    taken: list[Machine] = []
    for candidate in fitting if len(fitting) >= missing else ():
        if len(taken) == missing:
            break
        machine = session.get_one(Machine, candidate.id, populate_existing=True)
        if machine.state != State.READY:
            continue  # on PostgreSQL another request may have committed since we looked
        try:
            transition(session, machine, State.ALLOCATED, holder=None, new_holder=None)
        except Conflict:
            session.expire(machine)  # another request was first: the next one will do
            continue
        machine.allocation_id = allocation.id
        message = f"{machine.name} was given to allocation {allocation.name}, by {by}"
        data = {"by": by, "allocation": allocation.name, "before": State.READY, "state": State.ALLOCATED}
        record(session, "machine.allocated", message, machine=machine, data=data, at=now)
        taken.append(machine)
    if len(taken) < missing:
        raise _not_enough(session, allocation, wished, unfit, count, held, len(fitting))
    session.flush()
    return taken


def _not_enough(
    session: Session, allocation: Allocation, wished: Constraints, unfit: Container[str], count: int, held: int, fit: int
) -> Conflict:
    rows: Iterable[Any] = session.execute(select(*_COLUMNS))
    reasons: Counter[str] = Counter()
    for machine in rows:
        if machine.allocation_id == allocation.id:
            continue
        wrong = list(misfits(machine, wished, unfit))
        if wrong:
            reasons.update(wrong)
        elif machine.allocation_id is not None:
            reasons["allocated to another"] += 1
        elif machine.locked:
            reasons["locked"] += 1
        elif machine.state != State.READY:
            reasons[f"state {machine.state}"] += 1
        elif machine.operation_id is not None:
            reasons["busy"] += 1
    why = ", ".join(f"{reason} ({number})" for reason, number in reasons.most_common()) or "there are no others"
    have = f" and holds {held}" if held else ""
    return Conflict(
        "not_enough_machines",
        f"{allocation.name} wants {count} machines{have}; of the free ones {fit} fit. Others do not for: {why}.",
        "Lower the count, loosen the constraints, or commission or release machines.",
        wanted=count,
        held=held,
        fit=fit,
        why=dict(reasons),
    )


def _tell(session: Session, outcome: Outcome, name: str, kind: str, message: str, now: datetime) -> None:
    data = {"allocation": name, "added": outcome.added, "removed": outcome.removed}
    record(session, kind, message, data=data, at=now)
