# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that the agent runs, and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from metalwright.store.base import Base, new_id, utcnow


class Script(Base):
    """A program for commissioning, testing or release. The columns say what the header of ``source`` says."""

    __tablename__ = "script"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    kind: Mapped[str] = mapped_column(String(16), index=True)
    """``commissioning``, ``test`` or ``release``."""
    title: Mapped[str] = mapped_column(String(255), default="")
    source: Mapped[str] = mapped_column(Text)
    timeout_seconds: Mapped[int]
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """By name: ``{"type": .., "default": .., "description": .., "required": .., "choices": ..}``."""
    hardware: Mapped[str] = mapped_column(String(1024), default="")
    """An expression over the inventory, as in rules; empty: for every machine."""
    may_reboot: Mapped[bool] = mapped_column(default=False)
    destructive: Mapped[bool] = mapped_column(default=False)
    parallel: Mapped[bool] = mapped_column(default=False)
    required: Mapped[bool] = mapped_column(default=True)
    """Whether the operation fails when it does."""
    automatic: Mapped[bool] = mapped_column(default=False)
    """Whether it runs without being named."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class ScriptRun(Base):
    """One run of a script on a machine. It outlives the script."""

    __tablename__ = "script_run"
    __table_args__ = (Index("ix_script_run_history", "machine_id", "script_name", "created_at"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    operation_id: Mapped[str | None] = mapped_column(ForeignKey("operation.id", ondelete="SET NULL"), index=True)
    """None when the operation is so old that it was forgotten."""
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"))
    script_name: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(16))
    position: Mapped[int] = mapped_column(default=0)
    source: Mapped[str] = mapped_column(Text)
    """The program as it was when the agent asked what to run."""
    timeout_seconds: Mapped[int]
    required: Mapped[bool] = mapped_column(default=True)
    parallel: Mapped[bool] = mapped_column(default=False)
    may_reboot: Mapped[bool] = mapped_column(default=False)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """By name: the text that the script is given."""
    status: Mapped[str] = mapped_column(String(12), default="pending")
    """``pending``, ``running``, ``passed``, ``failed``, ``timeout``, ``skipped`` or ``aborted``."""
    exit_status: Mapped[int | None]
    output: Mapped[str] = mapped_column(Text, default="")
    """The end of what it printed, both streams, 64 KiB at most."""
    result: Mapped[dict[str, Any] | None]
    """What it wrote to the file ``METALWRIGHT_RESULT``: a JSON object."""
    runtime_seconds: Mapped[float | None]
    reboots: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
