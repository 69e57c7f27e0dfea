# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes that several resources answer with. Moments are ISO 8601 with their zone."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from typing_extensions import TypedDict

Item = TypeVar("Item")


class Listing(TypedDict, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None


class Error(TypedDict):
    """Every error: ``code`` for programs, ``message`` what happened, ``hint`` what to do next."""

    code: str
    message: str
    details: dict[str, Any]
    hint: str


def moment(at: datetime | None) -> str | None:
    """ISO 8601, None for never."""
    return at.isoformat() if at is not None else None
