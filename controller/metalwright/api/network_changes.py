# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which the resources of the network are changed, and the types that they share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.api.context import context
from metalwright.api.endpoint import Change
from metalwright.lifecycle.tasks import enqueue
from metalwright.network import engines, state
from metalwright.network.changing import alone
from metalwright.network.resolving import HIGHEST_TTL
from metalwright.store.events import record
from metalwright.store.models import Task


def _ttl(value: int) -> int:
    if not 0 <= value <= HIGHEST_TTL:
        raise ValueError(f"must be 0 to {HIGHEST_TTL} seconds (RFC 2181 section 8)")
    return value


Ttl = Annotated[int, AfterValidator(_ttl)]
"""Seconds for which an answer may be kept."""
Comment = Annotated[str, Field(max_length=1024)]
Text = Annotated[str, Field(max_length=253)]


@contextmanager
def change(query: Change) -> Iterator[Session]:
    """A transaction that no other change of the network meets: two that are fine alone may clash together.

    What the engine can not do is refused at its end (``engine_can_not``).
    """
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        alone(session)
        yield session
        session.flush()
        engines.create(here.settings).check(state.without_hosts(session, here.settings))


def carry_out(session: Session, kind: str, message: str, data: dict[str, Any]) -> None:
    """Tell what was changed, and have it carried to DHCP and DNS.

    What waits to be carried there already takes this change along: its row is locked, so that nobody begins it before this
    transaction ends.
    """
    now = context().clock()
    record(session, kind, message, data=data, at=now)
    waiting = (Task.kind == "network.apply", Task.state == "pending", Task.machine_id.is_(None), Task.operation_id.is_(None))
    soon = select(Task.id).where(*waiting, Task.run_at <= now).limit(1).with_for_update(skip_locked=True)
    if session.scalar(soon) is None:
        enqueue(session, "network.apply", {}, now=now)
