# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may speak to the admin plane: bearer tokens (RFC 6750), refused by default.

A token is 256 random bits; the database holds its SHA-256 only. One ``before_request`` refuses everything, unknown paths
included, unless the endpoint is declared ``public=True``.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from flask import Flask, current_app, g, request
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from metalwright.api.context import context
from metalwright.api.endpoint import BadRequest
from metalwright.errors import Conflict, Unauthorized
from metalwright.store.models import ApiToken

TOKEN_PREFIX = "mw_"  # noqa: S105 - lets scanners for leaked secrets know one of ours
SEEN_EVERY = timedelta(minutes=5)
"""How exact ``last_used_at`` is: a write for each request would cost more than the request."""


# Columns of the table, by the connection: every request asks this first, and objects and a session would double what it takes.
_TABLE = ApiToken.__table__
_TOKEN = select(_TABLE).where(_TABLE.c.token_hash == bindparam("wanted"))


def install(app: Flask) -> None:
    """Refuse every request that shows no valid token."""
    app.before_request(_authenticate)


def issue(session: Session, name: str, *, now: datetime, expires_at: datetime | None = None) -> tuple[ApiToken, str]:
    """Make a token; the text returned is shown once and kept nowhere. Raises ``Conflict`` (``name_taken``)."""
    if session.scalar(select(ApiToken.id).where(ApiToken.name == name)):
        raise Conflict("name_taken", f"There is a token {name} already.", "Delete it first, or choose another name.", name=name)
    raw = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = ApiToken(name=name, token_hash=digest(raw), expires_at=expires_at, created_at=now)
    session.add(token)
    session.flush()
    return token, raw


def digest(raw: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(raw.encode("utf-8", "surrogateescape")).hexdigest()


def _authenticate() -> None:
    if "\x00" in request.path or any("\x00" in text for texts in request.args.listvalues() for text in texts):
        raise BadRequest("bad_request", "The address holds a NUL character.")
    view = current_app.view_functions.get(request.endpoint or "")
    declared = getattr(view, "__endpoint__", None)
    if declared is not None and declared.public:
        return
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    raw = raw.strip()
    if scheme.lower() != "bearer" or not raw:
        raise Unauthorized("token_missing", "This needs a token.", "Send it as 'Authorization: Bearer TOKEN'; METALWRIGHT_TOKEN.")
    here = context()
    wanted, now = digest(raw), here.clock()
    with here.store.engine.connect() as connection:
        token = connection.execute(_TOKEN, {"wanted": wanted}).first()
    if token is None or not hmac.compare_digest(token.token_hash, wanted):
        raise Unauthorized("token_wrong", "The token is not known here.", "Make one with: metalwright token create NAME")
    if token.expires_at is not None and token.expires_at <= now:
        raise Unauthorized(
            "token_expired", f"The token {token.name} has expired.", "Make a new one: metalwright token create NAME"
        )
    g.caller = token.name
    if token.last_used_at is None or now - token.last_used_at >= SEEN_EVERY:
        _seen(token.id, now)


def _seen(token_id: str, now: datetime) -> None:
    with context().store.write() as session:
        token = session.get(ApiToken, token_id)
        if token is not None:
            token.last_used_at = now
