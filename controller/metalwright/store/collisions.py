# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions that got in each other's way: the database has ended one of them, and it may simply be tried again."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from metalwright.errors import Unavailable

_COLLISIONS = frozenset({"40001", "40P01"})
"""serialization_failure and deadlock_detected (PostgreSQL documentation, appendix A: error codes)."""


def busy(error: BaseException) -> Unavailable | None:
    """The error ``database_busy`` to answer with, if a transaction failed only because another was in its way; else None."""
    if not isinstance(error, DBAPIError) or getattr(error.orig, "sqlstate", None) not in _COLLISIONS:
        return None
    return Unavailable("database_busy", "Another request was in the way, and this one has changed nothing.", "Try again.")
