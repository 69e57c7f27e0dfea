# SPDX-License-Identifier: GPL-3.0-or-later
"""Operating system images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from metalwright.store.base import Base, new_id, utcnow


class Image(Base):
    """An operating system image, known by the hash of the file that is served; no path is kept."""

    __tablename__ = "image"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(127), unique=True)
    status: Mapped[str] = mapped_column(String(16), default="ready")
    """``importing``, ``ready`` or ``failed``. One that is being replaced, or was not because that failed, stays ``ready``."""
    progress: Mapped[int | None]
    failure: Mapped[dict[str, Any] | None]
    arch: Mapped[str] = mapped_column(String(16), default="amd64")
    firmware: Mapped[list[str]] = mapped_column(default=list)
    format: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str | None] = mapped_column(String(2048))
    source_sha256: Mapped[str | None] = mapped_column(String(64))
    content_sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    image_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)

    @property
    def importing(self) -> bool:
        """Whether an import of it is under way, be it of a new image or of the content that is to replace its own."""
        return self.progress is not None
