# SPDX-License-Identifier: GPL-3.0-or-later
"""``/status`` and ``/healthz``: is it alive, and what is going on."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version

from flask import Blueprint
from sqlalchemy import func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session
from typing_extensions import TypedDict

from metalwright.api.context import context
from metalwright.api.endpoint import Reply, endpoint
from metalwright.store import migrate
from metalwright.store.events import horizon
from metalwright.store.models import Image, Machine, Operation, Subnet, Task

status = Blueprint("status", __name__)
health = Blueprint("health", __name__)


class Health(TypedDict):
    """The controller answers and reaches its database."""

    status: str


class Status(TypedDict):
    """Numbers of things by their state. ``oldest_task_seconds``: how long the task that is due has waited, where nobody is there
    to take it up; null while a worker is at work, for then others wait for their turn. If it grows, no worker is running."""

    version: str
    database: str
    schema_revision: str
    time: str
    machines: dict[str, int]
    operations: dict[str, int]
    tasks: dict[str, int]
    oldest_task_seconds: float | None
    images: dict[str, int]
    subnets: int
    event_cursor: int


@endpoint(health, "GET", "/healthz", answers={200: Health}, public=True, errors=(503,))
def healthz() -> Reply:
    """Is it alive? Needs no token and tells nothing."""
    with context().store.session() as session:
        session.execute(text("SELECT 1"))
    return {"status": "ok"}


@endpoint(status, "GET", "/status", answers={200: Status})
def get_status() -> Reply:
    """What is going on."""
    here = context()
    now = here.clock()
    with here.store.session() as session:
        return {
            "version": version("metalwright"),
            "database": here.store.url.get_backend_name(),
            "schema_revision": migrate.HEAD,
            "time": now.isoformat(),
            "machines": _by_state(session, Machine.state),
            "operations": {
                state: n for state, n in _by_state(session, Operation.state).items() if state in ("queued", "running")
            },
            "tasks": {
                state: n for state, n in _by_state(session, Task.state).items() if state in ("pending", "running", "failed")
            },
            "oldest_task_seconds": untaken_seconds(session, now),
            "images": _by_state(session, Image.status),
            "subnets": session.scalar(select(func.count()).select_from(Subnet)) or 0,
            "event_cursor": horizon(session),
        }


def untaken_seconds(session: Session, now: datetime) -> float | None:
    """How long the task that is due the longest has waited while no worker is at work; None while one is, or nothing waits.

    Limits let tasks wait as well, of a kind, a machine, a BMC or a worker's threads. But whatever a limit holds back waits for
    something that is carried out, under a lease that its worker renews. So where no lease holds, of whichever controller, no
    limit holds a task back either: an idle worker takes it up within a second.
    """
    leases = select(func.max(Task.lease_until), func.min(Task.lease_until)).where(Task.state == "running")
    newest, lapsed = session.execute(leases).one()
    if newest is not None and newest >= now:
        return None
    due = session.scalar(select(func.min(Task.run_at)).where(Task.state == "pending", Task.run_at <= now))
    since = min((at for at in (due, lapsed) if at is not None), default=None)
    return (now - since).total_seconds() if since is not None else None


def _by_state(session: Session, column: InstrumentedAttribute[str]) -> dict[str, int]:
    return dict(session.execute(select(column, func.count()).group_by(column)).all())
