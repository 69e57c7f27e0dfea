# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of the node plane: one per operation, random, stored hashed, expiring, void as soon as the operation ends."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import NotFound
from metalwright.store.base import Clock
from metalwright.store.models import Operation

TOKEN_BYTES = 32


def digest(raw: str) -> str:
    """SHA-256 in hex; a token of 256 random bits needs no slow hash."""
    return hashlib.sha256(raw.encode()).hexdigest()


def mint(session: Session, operation: Operation, clock: Clock, ttl: int) -> str:
    """Give the operation a new token (43 URL-safe characters) that lives ``ttl`` seconds at most; an older one is void."""
    raw = secrets.token_urlsafe(TOKEN_BYTES)
    operation.token_hash = digest(raw)
    operation.token_expires = clock() + timedelta(seconds=ttl)
    session.flush()
    return raw


def find(session: Session, raw: str, clock: Clock, *, lock: bool = False) -> Operation:
    """The running operation a token belongs to; ``lock`` it before anything of it or its machine is written.

    Raises ``NotFound`` (``not_found``) for a token that is unknown, expired or void: all the same to who asks.
    """
    wanted = digest(raw)
    statement = select(Operation).where(Operation.token_hash == wanted)
    if lock:
        statement = statement.with_for_update(of=Operation).execution_options(populate_existing=True)
    operation = session.scalar(statement)
    alive = (
        operation is not None
        and operation.token_hash is not None
        and hmac.compare_digest(operation.token_hash, wanted)
        and operation.state == "running"
        and operation.token_expires is not None
        and operation.token_expires > clock()
    )
    if not alive or operation is None:
        raise NotFound("not_found", "There is nothing here.")
    return operation
