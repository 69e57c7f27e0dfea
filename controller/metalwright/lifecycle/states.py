# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a machine, the table of transitions, and the one function that writes ``machine.state``."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import update
from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.store.models import Machine


class State(StrEnum):
    """Where a machine stands. ``failed`` keeps in ``failed_from`` what it failed at."""

    NEW = "new"
    COMMISSIONING = "commissioning"
    READY = "ready"
    ALLOCATED = "allocated"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    RELEASING = "releasing"
    FAILED = "failed"


TRANSIENT = frozenset({State.COMMISSIONING, State.DEPLOYING, State.RELEASING})
"""States in which an operation is under way: never left without one."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.COMMISSIONING}),
    State.COMMISSIONING: frozenset({State.READY, State.FAILED, State.NEW, State.ALLOCATED}),
    State.READY: frozenset({State.COMMISSIONING, State.ALLOCATED, State.DEPLOYING, State.RELEASING}),
    State.ALLOCATED: frozenset({State.READY, State.COMMISSIONING, State.DEPLOYING, State.RELEASING}),
    State.DEPLOYING: frozenset({State.DEPLOYED, State.FAILED, State.READY, State.ALLOCATED}),
    State.DEPLOYED: frozenset({State.DEPLOYING, State.RELEASING}),
    State.RELEASING: frozenset({State.READY, State.FAILED, State.DEPLOYED, State.ALLOCATED}),
    State.FAILED: frozenset({State.COMMISSIONING, State.DEPLOYING, State.RELEASING}),
}
"""From each state, the states that may follow. The way back from a transient state to the one it started from exists because
an operation that failed or was aborted before it changed anything leaves the machine as it was."""


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
    Raises ``Conflict`` (``state_changed``) when the row is no longer as the caller saw it: somebody else was first.
    """
    before = State(machine.state)
    after = to or before
    if after != before and after not in TRANSITIONS[before]:
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
