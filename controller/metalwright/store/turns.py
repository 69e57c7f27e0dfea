# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions that look at many rows and then write one go one after the other."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def one_at_a_time(session: Session, lock: int) -> None:
    """Let transactions that count and then take go one after the other, each seeing what the one before has taken.

    On SQLite a write transaction does so by itself. On PostgreSQL two that overlap see neither's doing, and would take two tasks
    of one machine or fill a lane beyond its measure; the lock of that number is held until the transaction ends.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(lock)))


def several_at_a_time(session: Session, lock: int) -> None:
    """Go beside others that call this with the same number, but not beside one that has the turn of ``one_at_a_time``."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock_shared(lock)))
