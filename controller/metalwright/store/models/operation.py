# SPDX-License-Identifier: GPL-3.0-or-later
"""What is under way, what has to be done for it, and what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from metalwright.store.base import Base, new_id, utcnow
from metalwright.store.models.machine import Machine
from metalwright.store.sealed import Sealed

Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER key


class Operation(Base):
    """One long-running action on one machine; a row is all there is of it, so any process can go on with it."""

    __tablename__ = "operation"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(16))
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(12), default="queued", index=True)
    """``queued``, ``running``, ``succeeded``, ``failed`` or ``aborted``."""
    from_state: Mapped[str] = mapped_column(String(16))
    parameters: Mapped[dict[str, Any]] = mapped_column(Sealed, default=dict)
    """Encrypted: a deploy's user-data may hold passwords."""
    phase: Mapped[str | None] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=1)
    progress: Mapped[int | None]
    message: Mapped[str] = mapped_column(String(1024), default="")
    last_seen: Mapped[str] = mapped_column(String(1024), default="")
    told: Mapped[int] = mapped_column(default=0)
    """Events that its machine has caused, and inventories it has sent; see ``node.telling``."""
    deadline: Mapped[datetime | None] = mapped_column(index=True)
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    token_expires: Mapped[datetime | None]
    next: Mapped[list[dict[str, Any]]] = mapped_column(Sealed, default=list)
    """Operations to start when this one succeeds: ``[{"kind": .., "parameters": {..}}]``, encrypted as these are."""
    followed_by: Mapped[str | None] = mapped_column(String(16))
    """The one started of ``next``. None after a success that has a ``next``: that could not start, and ``message`` says why."""
    failure: Mapped[dict[str, Any] | None]
    playbook_run: Mapped[dict[str, Any] | None]
    """Its playbook, once it was begun: ``name, status, began, started_at, ended_at, recap``; see ``lifecycle.playbook_runs``."""
    requested_by: Mapped[str] = mapped_column(String(63), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    machine: Mapped[Machine] = relationship(lazy="joined")


class Task(Base):
    """The outbox: an effect on the world that a worker carries out at least once."""

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_claim", "state", "run_at"), {"sqlite_autoincrement": True})  # no number twice

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(32))
    payload: Mapped[dict[str, Any]] = mapped_column(Sealed, default=dict)
    """Encrypted: the URL of an image may hold a password."""
    machine_id: Mapped[str | None] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"), index=True)
    operation_id: Mapped[str | None] = mapped_column(ForeignKey("operation.id", ondelete="CASCADE"), index=True)
    phase: Mapped[str | None] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(12), default="pending")
    """``pending``, ``running``, ``done``, ``failed`` or ``cancelled``."""
    run_at: Mapped[datetime] = mapped_column(default=utcnow)
    lane: Mapped[str | None] = mapped_column(String(255), index=True)
    """Tasks of one lane share a thing that bears few calls at once: a BMC, a webhook's server. None: no such thing."""
    owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=10)
    fence: Mapped[int] = mapped_column(default=0)
    begun: Mapped[bool] = mapped_column(default=False)
    """Whether who claimed it last has begun with it, from when on the deadline of its phase runs."""
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]


class Minding(Base):
    """When a worker, whichever it was, last minded what is under way: one row, which ``lifecycle.lost_time`` keeps."""

    __tablename__ = "minding"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    at: Mapped[datetime]


class Event(Base):
    """What happened, in order: ``id`` is the cursor. Rows are never changed; old ones are removed."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_operation", "operation_id", "id"),
        Index("ix_event_machine", "machine_id", "id"),
        {"sqlite_autoincrement": True},  # no number twice, also after the newest was removed
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    kind: Mapped[str] = mapped_column(String(48), index=True)
    message: Mapped[str] = mapped_column(String(1024))
    machine_id: Mapped[str | None] = mapped_column(String(16))
    machine_name: Mapped[str | None] = mapped_column(String(63))
    operation_id: Mapped[str | None] = mapped_column(String(16))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ConsoleLog(Base):
    """The end of what was printed during an operation; ``source`` is ``agent``, ``first-boot`` or ``playbook``."""

    __tablename__ = "console_log"

    operation_id: Mapped[str] = mapped_column(ForeignKey("operation.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str] = mapped_column(String(16), primary_key=True)
    text: Mapped[str] = mapped_column(Text, default="")
    length: Mapped[int] = mapped_column(BigInteger, default=0)
    """Characters that have come since the machine began to print: where the next piece goes on."""
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
