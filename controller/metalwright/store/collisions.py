# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the database that pass: what failed by one of them has changed nothing, and may simply be tried again.

Transactions that got in each other's way are one kind, of which the database has ended one. The other kind is a database that is
not there for a moment: it is restarted, it has ended the session, it lets nobody in or has no room.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from metalwright.errors import Unavailable

_COLLISIONS = frozenset({"40001", "40P01"})
"""serialization_failure and deadlock_detected (PostgreSQL documentation, appendix A: error codes)."""


class DatabaseTrouble(Unavailable):
    """The database was in the way, and a moment later it may not be."""


def busy(error: BaseException) -> DatabaseTrouble | None:
    """The error ``database_busy`` to answer with, if a transaction failed only because another was in its way; else None."""
    if not isinstance(error, DBAPIError) or getattr(error.orig, "sqlstate", None) not in _COLLISIONS:
        return None
    return DatabaseTrouble("database_busy", "Another request was in the way, and this one has changed nothing.", "Try again.")


def passing(error: BaseException) -> DatabaseTrouble | None:
    """What ``busy`` answers, or ``database_unavailable`` if the database was not there, or full, or locked; else None.

    Psycopg's ``OperationalError`` is all of that (no connection, SQLSTATE classes 08, 53, 55, 57 and 58), except for some ways in
    which the server ends a session: then the connection is invalidated.
    """
    if collision := busy(error):
        return collision
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if not lost and (not isinstance(error, OperationalError | PoolTimeout) or _is_wrong_statement(error)):
        return None
    reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return DatabaseTrouble("database_unavailable", f"The database could not be used: {reason}.", "Try again.")


def _is_wrong_statement(error: BaseException) -> bool:
    """SQLite calls a table that is missing an operational error too, and tells it apart by the number only."""
    return getattr(getattr(error, "orig", None), "sqlite_errorname", "") == "SQLITE_ERROR"
