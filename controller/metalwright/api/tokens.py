# SPDX-License-Identifier: GPL-3.0-or-later
"""``/tokens``: who may use this API. The text of a token is shown once, when it is made."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.auth import issue
from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.shapes import Listing, moment
from metalwright.errors import NotFound
from metalwright.lifecycle.allocation import Word
from metalwright.store.events import record
from metalwright.store.models import ApiToken

tokens = Blueprint("tokens", __name__)


class TokenCreate(Schema):
    """A new token."""

    name: Word = Field(description="Whose it is; shown as who requested an operation.")
    expires_in: int | None = Field(None, ge=1, le=3_650 * 86_400, description="Life in seconds. None: until it is deleted.")
    replace: bool = Field(False, description="Whether a token of that name may be replaced: it is void from then on.")


class TokenView(TypedDict):
    """A token, without its text. ``last_used_at`` is exact to five minutes."""

    name: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class TokenMade(TokenView):
    """A new token; ``token`` is its text, which is kept nowhere and never shown again."""

    token: str


@endpoint(tokens, "GET", "/tokens", query=Page, answers={200: Listing[TokenView]})
def list_tokens(*, query: Page) -> Reply:
    """List tokens by name."""
    fields = query.chosen(TokenView.__annotations__)
    statement = select(ApiToken).order_by(ApiToken.name).limit(query.limit + 1)
    if (last := query.after(1)) is not None:
        statement = statement.where(ApiToken.name > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
    items = [{name: value for name, value in show(token).items() if name in fields} for token in found[: query.limit]]
    return page(found, query.limit, items, lambda token: (token.name,))


@endpoint(tokens, "GET", "/tokens/<name>", answers={200: TokenView}, errors=(404,))
def get_token(name: str) -> Reply:
    """Show a token, without its text."""
    with context().store.session() as session:
        return show(_find(session, name))


def show(token: ApiToken) -> TokenView:
    """A token for the API."""
    return {
        "name": token.name,
        "created_at": token.created_at.isoformat(),
        "expires_at": moment(token.expires_at),
        "last_used_at": moment(token.last_used_at),
    }


@endpoint(tokens, "POST", "/tokens", body=TokenCreate, query=Change, answers={201: TokenMade}, errors=(409,))
def create_token(*, body: TokenCreate, query: Change) -> Reply:
    """Make a token. One that is replaced may be the one this is asked with."""
    here = context()
    now = here.clock()
    expires_at = now + timedelta(seconds=body.expires_in) if body.expires_in else None
    with here.change(dry_run=query.dry_run) as session:
        former = session.scalar(select(ApiToken).where(ApiToken.name == body.name)) if body.replace else None
        if former is not None:
            session.delete(former)
            session.flush()
        token, raw = issue(session, body.name, now=now, expires_at=expires_at)
        told = f"token {body.name} was made {'anew ' if former else ''}by {caller()}"
        record(session, "token.created", told, data={"token": body.name}, at=now)
        return {**show(token), "token": raw}


@endpoint(tokens, "DELETE", "/tokens/<name>", query=Change, answers={204: None}, errors=(404,))
def delete_token(name: str, *, query: Change) -> Reply:
    """Delete a token: it is void from now on."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        token = _find(session, name)
        session.delete(token)
        record(session, "token.deleted", f"token {name} was deleted by {caller()}", data={"token": name}, at=here.clock())
    return None


def _find(session: Session, name: str) -> ApiToken:
    token = session.scalar(select(ApiToken).where(ApiToken.name == name))
    if token is None:
        raise NotFound("token_not_found", f"There is no token {name}.", token=name)
    return token
