# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told of what happens, and what is counted of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from metalwright.store.base import Base, new_id, utcnow
from metalwright.store.sealed import Sealed


class Webhook(Base):
    """A URL to which events are posted, signed, in order, each until it is taken or given up."""

    __tablename__ = "webhook"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    url: Mapped[str] = mapped_column(String(2048))
    secrets: Mapped[dict[str, Any]] = mapped_column(Sealed, default=dict)
    """``{"hmac": ..}``: the key of the signature."""
    events: Mapped[list[str]] = mapped_column(default=list)
    """Patterns of event kinds, for example ``operation.*``; empty: all."""
    verify_tls: Mapped[bool] = mapped_column(default=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    cursor: Mapped[int] = mapped_column(BigInteger, default=0)
    """The event that was delivered (or given up) last."""
    failures: Mapped[int] = mapped_column(default=0)
    """Deliveries that failed since one went well."""
    failing_since: Mapped[datetime | None]
    """When the first of them failed."""
    retry_at: Mapped[datetime | None]
    """When the next try is made; None: as soon as there is something to deliver."""
    given_up: Mapped[int] = mapped_column(default=0)
    """Events that were given up since one was delivered."""
    last_error: Mapped[str] = mapped_column(String(1024), default="")
    last_delivery_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Follower(Base):
    """A part of the controller that reads the event log in order, once, and keeps its place here."""

    __tablename__ = "follower"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    cursor: Mapped[int] = mapped_column(BigInteger, default=0)


class Tally(Base):
    """A number that only grows, for ``/metrics``; every process adds to it. ``labels`` is JSON with its names in order."""

    __tablename__ = "tally"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[float] = mapped_column(Float(53), default=0)
