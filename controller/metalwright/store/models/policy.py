# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for many machines: pools with their defaults, and rules over the hardware."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from metalwright.store.base import Base, new_id, utcnow


class Pool(Base):
    """Defaults of the machines whose ``pool`` has this name. A pool without a row has the defaults of this class."""

    __tablename__ = "pool"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    description: Mapped[str] = mapped_column(String(1024), default="")
    erase: Mapped[str] = mapped_column(String(8), default="quick")
    """How a release erases when it does not say: ``quick``, ``full`` or ``secure``."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Rule(Base):
    """What follows from the hardware of a machine, applied when its inventory arrives, in the order of ``position``, ``name``."""

    __tablename__ = "rule"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    position: Mapped[int] = mapped_column(default=100)
    when: Mapped[str] = mapped_column("condition", String(1024))
    """An expression over the inventory, for example ``memory >= 64GiB and nic.vendor ~ Mellanox``."""
    actions: Mapped[dict[str, Any]] = mapped_column(default=dict)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
