# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations that this transaction holds: locked and read anew once, and never again until it ends."""

from __future__ import annotations

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, defer, joinedload, lazyload

from metalwright.store.models import Machine, Operation

WITHOUT_INVENTORY = joinedload(Operation.machine).options(
    defer(Machine.hardware), defer(Machine.power_parameters), lazyload(Machine.interfaces), lazyload(Machine.allocation)
)
"""How an operation is read whose machine is told something: what is large or encrypted is read when it is looked at."""

_HELD = "held operations"
_TAKING = (
    select(Operation)
    .options(WITHOUT_INVENTORY)
    .where(Operation.id == bindparam("wanted"))
    .with_for_update(of=Operation)
    .execution_options(populate_existing=True)
)


def take(session: Session, operation_id: str) -> Operation | None:
    """Read an operation and its machine, and hold it: the first statement about it in this transaction."""
    operation = session.scalar(_TAKING, {"wanted": operation_id})
    if operation is not None:
        is_held(session, operation)
    return operation


def hold(session: Session, operation: Operation) -> None:
    """Lock an operation and read it and its machine anew, unless this transaction has done so already."""
    if operation.id in session.info.get(_HELD, ()):
        return
    session.flush()  # a refresh would drop what this transaction has changed so far
    session.refresh(operation, with_for_update={"of": Operation})
    is_held(session, operation)


def is_held(session: Session, operation: Operation) -> None:
    """Note that a statement of this transaction has locked an operation and read it with its machine."""
    session.info.setdefault(_HELD, set()).add(operation.id)
