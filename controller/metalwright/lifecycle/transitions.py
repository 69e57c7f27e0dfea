# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of transitions, and the one function that writes ``machine.state``.

The table is not written down anywhere: it follows from the operations (``operations.OPERATIONS``) and from what people do to a
machine at once (``ACTIONS``). ``docs/reference/lifecycle.md`` is generated from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import update
from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.lifecycle.operations import OPERATIONS, OperationKind
from metalwright.lifecycle.states import State
from metalwright.store.models import Machine


class Transition(NamedTuple):
    """One line of the table; ``by`` says what makes the change, ``when`` under which condition."""

    before: State
    after: State
    by: str
    when: str


@dataclass(frozen=True)
class Action:
    """What changes a machine at once, without an operation."""

    name: str
    allowed: frozenset[State]
    ends: frozenset[State]
    when: str
    """Which of ``ends`` it is."""


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("allocate", frozenset({State.READY}), frozenset({State.ALLOCATED}), "an allocation takes it"),
        Action("give-back", frozenset({State.ALLOCATED}), frozenset({State.READY}), "its allocation ends or shrinks"),
        Action("adopt", frozenset({State.NEW, State.READY}), frozenset({State.DEPLOYED}), "it runs a system already"),
        Action(
            "mark-broken",
            frozenset({State.NEW, State.READY, State.ALLOCATED, State.DEPLOYED, State.FAILED}),
            frozenset({State.BROKEN}),
            "a person says so",
        ),
        Action(
            "mark-fixed",
            frozenset({State.BROKEN}),
            frozenset({State.NEW, State.READY, State.ALLOCATED, State.DEPLOYED, State.FAILED}),
            "a person says so: back to where it was",
        ),
        Action(
            "override-failed-test",
            frozenset({State.FAILED}),
            frozenset({State.READY, State.ALLOCATED}),
            "all it failed at is a test",
        ),
    )
}


def table() -> list[Transition]:
    """Every transition there is, in the order of the operations and actions that make them."""
    found = [line for kind in OPERATIONS.values() for line in _of_operation(kind)]
    for action in ACTIONS.values():
        pairs = ((before, after) for before in action.allowed for after in action.ends)
        found += [Transition(before, after, action.name, action.when) for before, after in sorted(pairs)]
    return found


def _of_operation(kind: OperationKind) -> Iterator[Transition]:
    if kind.starts is None:
        return
    for before in sorted(kind.allowed):
        yield Transition(before, kind.starts, kind.name, "requested")
    for after in sorted(kind.ends):
        yield Transition(kind.starts, after, kind.name, "succeeded")
    for before in sorted(kind.allowed - {kind.starts}):
        yield Transition(kind.starts, before, kind.name, "failed or aborted before anything was changed")
    if any(not phase.harmless for phase in kind.phases):
        yield Transition(kind.starts, State.FAILED, kind.name, "failed or aborted")


ALLOWED: frozenset[tuple[State, State]] = frozenset((line.before, line.after) for line in table())
"""The pairs of states that may follow each other."""


def transition(
    session: Session,
    machine: Machine,
    to: State | None,
    *,
    holder: str | None,
    new_holder: str | None,
) -> None:
    """Move a machine to another state (None: stay) and hand it from one operation to another, in one conditional UPDATE.

    ``holder`` is the operation that must hold the machine now (None: none does), ``new_holder`` the one that holds it after.
    Raises ``Conflict``: ``wrong_state`` for what is not in the table, ``state_changed`` when the row is no longer as the caller
    saw it: somebody else was first.
    """
    before = State(machine.state)
    after = to or before
    if after != before and (before, after) not in ALLOWED:
        raise Conflict("wrong_state", f"{machine.name} can not go from {before} to {after}.", state=before)
    held = Machine.operation_id.is_(None) if holder is None else Machine.operation_id == holder
    statement = update(Machine).where(Machine.id == machine.id, Machine.state == before, held)
    changed = session.execute(statement.values(state=after, operation_id=new_holder).execution_options(synchronize_session=False))
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict(
            "state_changed",
            f"{machine.name} is no longer {before}: another request was first.",
            "Look at the machine and try again.",
        )
    session.refresh(machine, ["state", "operation_id"])
