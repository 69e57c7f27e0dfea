# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of the node plane: one per operation, random, stored hashed, expiring, void as soon as the operation ends."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, bindparam, select
from sqlalchemy.orm import Session

from metalwright.errors import NotFound
from metalwright.lifecycle.held import WITHOUT_INVENTORY, is_held
from metalwright.store.base import Clock
from metalwright.store.models import Operation

TOKEN_BYTES = 32
BLANK = "***"
_IN_PATH = re.compile(r"/(agent|seed|files|report)/[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
_FINDING = select(Operation).options(WITHOUT_INVENTORY).where(Operation.token_hash == bindparam("wanted"))
_LOCKING = _FINDING.with_for_update(of=Operation).execution_options(populate_existing=True)


def blanked(text: str) -> str:
    """The text with ``***`` for the tokens in paths of the node plane: ``/agent/***/hello``."""
    return _IN_PATH.sub(rf"/\1/{BLANK}", text)


def digest(raw: str) -> str:
    """SHA-256 in hex; a token of 256 random bits needs no slow hash."""
    return hashlib.sha256(raw.encode()).hexdigest()


def mint(session: Session, operation: Operation, clock: Clock, ttl: int) -> str:
    """Give the operation a new token (43 URL-safe characters) for ``ttl`` seconds, or until its deadline. Older ones are void."""
    raw = secrets.token_urlsafe(TOKEN_BYTES)
    operation.token_hash = digest(raw)
    operation.token_expires = clock() + timedelta(seconds=ttl)
    outlive_deadline(operation)
    session.flush()
    return raw


def outlive_deadline(operation: Operation) -> None:
    """Let the token live as long as its machine may be silent: what comes in time is not to be refused."""
    if operation.token_expires is not None and operation.deadline is not None:
        operation.token_expires = max(operation.token_expires, operation.deadline)


def find(session: Session, raw: str, clock: Clock, *, lock: bool = False) -> Operation:
    """The running operation a token belongs to; ``lock`` it before anything of it or its machine is written.

    Raises ``NotFound`` (``not_found``) for a token that is unknown, expired or void: all the same to who asks.
    """
    wanted = digest(raw)
    operation = session.scalar(_LOCKING if lock else _FINDING, {"wanted": wanted})
    if operation is None or not _lives(operation, wanted, clock):
        raise NotFound("not_found", "There is nothing here.")
    if lock:
        is_held(session, operation)
    return operation


def look(session: Session, raw: str, clock: Clock, *columns: str) -> Row[Any]:
    """These columns, and ``id``, of the operation that ``find`` would find: cheap, where no more is needed. Raises as it does."""
    wanted = digest(raw)
    row = session.execute(_looking(columns), {"wanted": wanted}).one_or_none()
    if row is None or not _lives(row, wanted, clock):
        raise NotFound("not_found", "There is nothing here.")
    return row


@lru_cache(maxsize=16)
def _looking(columns: tuple[str, ...]) -> Select[Any]:
    """Made once, and of the table's columns: every call of every machine asks this first."""
    table = Operation.__table__.c
    always = ("id", "token_hash", "state", "token_expires")
    return select(*(table[name] for name in (*always, *columns))).where(table.token_hash == bindparam("wanted"))


def _lives(row: Any, wanted: str, clock: Clock) -> bool:
    return (
        row.token_hash is not None
        and hmac.compare_digest(row.token_hash, wanted)
        and row.state == "running"
        and row.token_expires is not None
        and row.token_expires > clock()
    )
