# SPDX-License-Identifier: GPL-3.0-or-later
"""Named claims on machines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from metalwright.store.base import Base, new_id, utcnow

if TYPE_CHECKING:
    from metalwright.store.models.machine import Machine


class Allocation(Base):
    """A named claim on ``count`` machines that satisfy ``constraints``."""

    __tablename__ = "allocation"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    count: Mapped[int]
    constraints: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    machines: Mapped[list[Machine]] = relationship(back_populates="allocation", order_by="Machine.name")
