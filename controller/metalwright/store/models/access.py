# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may call the admin plane, and whose credentials may be read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from metalwright.store.base import Base, new_id, utcnow
from metalwright.store.sealed import Sealed


class ApiToken(Base):
    """A bearer token of the admin plane; only its SHA-256 is kept (256 random bits need no slow hash)."""

    __tablename__ = "api_token"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class KeyMark(Base):
    """Something sealed that is there before any credential is: one row, by which a start sees whether it has the right key."""

    __tablename__ = "key_mark"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    mark: Mapped[dict[str, Any]] = mapped_column(Sealed, default=lambda: {"sealed": True})
