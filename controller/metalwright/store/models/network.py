# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that machines boot on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from metalwright.store.base import Base, new_id, utcnow


class Subnet(Base):
    """An IPv4 network machines boot on. Ranges are inclusive; both bounds or none."""

    __tablename__ = "subnet"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    cidr: Mapped[str] = mapped_column(String(43), unique=True)
    gateway: Mapped[str | None] = mapped_column(String(45))
    dns_servers: Mapped[list[str]] = mapped_column(default=list)
    domain: Mapped[str | None] = mapped_column(String(253))
    dhcp: Mapped[bool] = mapped_column(default=True)
    enlist: Mapped[bool] = mapped_column(default=False)
    dynamic_start: Mapped[str | None] = mapped_column(String(45))
    dynamic_end: Mapped[str | None] = mapped_column(String(45))
    static_start: Mapped[str | None] = mapped_column(String(45))
    static_end: Mapped[str | None] = mapped_column(String(45))
    rack: Mapped[str] = mapped_column(String(63), default="default")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
