# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations that this transaction holds: locked and read anew once, and never again until it ends."""

from __future__ import annotations

from sqlalchemy.orm import Session

from metalwright.store.models import Operation

_HELD = "held operations"


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
