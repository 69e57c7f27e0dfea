# SPDX-License-Identifier: GPL-3.0-or-later
"""``/webhooks``: where events are posted to. Whoever may call this may have the controller post to any address it reaches."""

from __future__ import annotations

import secrets
import time
from typing import Any

from flask import Blueprint
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.shapes import Listing
from metalwright.api.webhook_schema import WebhookChanged, WebhookPatch, WebhookPut, WebhookTested, WebhookView, show
from metalwright.errors import NotFound
from metalwright.lifecycle.allocation import Word
from metalwright.lifecycle.webhook_post import Poster, Undelivered
from metalwright.lifecycle.webhooks import check_pattern, check_url, secret_of, tally_keys
from metalwright.store import tallies
from metalwright.store.events import horizon, record
from metalwright.store.models import Webhook

webhooks = Blueprint("webhooks", __name__)

_SECRET_BYTES = 32
_WHERE = frozenset({"url", "secret", "verify_tls"})
_name: TypeAdapter[str] = TypeAdapter(Word)


@endpoint(webhooks, "GET", "/webhooks", query=Page, answers={200: Listing[WebhookView]})
def list_webhooks(*, query: Page) -> Reply:
    """List webhooks by name."""
    fields = query.chosen(WebhookView.__annotations__)
    statement = select(Webhook).order_by(Webhook.name).limit(query.limit + 1)
    if (last := query.after(1)) is not None:
        statement = statement.where(Webhook.name > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
    items = [{name: value for name, value in show(hook).items() if name in fields} for hook in found[: query.limit]]
    return page(found, query.limit, items, lambda hook: (hook.name,))


@endpoint(webhooks, "GET", "/webhooks/<name>", answers={200: WebhookView}, errors=(404,))
def get_webhook(name: str) -> Reply:
    """Show a webhook."""
    with context().store.session() as session:
        return show(_find(session, name))


@endpoint(webhooks, "PUT", "/webhooks/<name>", body=WebhookPut, query=Change, answers={200: WebhookChanged})
def put_webhook(name: str, *, body: WebhookPut, query: Change) -> Reply:
    """Have events posted to a URL. A new webhook begins with what happens from now on; one that is there goes on where it is."""
    here = context()
    wished = body.model_dump()
    with here.change(dry_run=query.dry_run) as session:
        hook = session.scalar(select(Webhook).where(Webhook.name == name).with_for_update())
        if hook is not None:
            return _change(session, hook, {key: value for key, value in wished.items() if key != "secret" or value is not None})
        _check(wished)
        made = None if body.secret else secrets.token_urlsafe(_SECRET_BYTES)
        del wished["secret"]
        key = {"hmac": body.secret or made}
        hook = Webhook(name=_name.validate_python(name), secrets=key, cursor=horizon(session), created_at=here.clock(), **wished)
        session.add(hook)
        session.flush()
        _record(session, "webhook.created", hook, "added")
        return {**show(hook), "changed": True, "secret": made}


@endpoint(webhooks, "PATCH", "/webhooks/<name>", body=WebhookPatch, query=Change, answers={200: WebhookChanged}, errors=(404,))
def change_webhook(name: str, *, body: WebhookPatch, query: Change) -> Reply:
    """Change a webhook; what is not named stays. After a change a webhook that fails is tried at once."""
    wished = {key: value for key in body.model_fields_set if (value := getattr(body, key)) is not None}
    with context().change(dry_run=query.dry_run) as session:
        return _change(session, _find(session, name, lock=True), wished)


@endpoint(webhooks, "DELETE", "/webhooks/<name>", query=Change, answers={204: None}, errors=(404,))
def delete_webhook(name: str, *, query: Change) -> Reply:
    """Delete a webhook: nothing more is posted to it."""
    with context().change(dry_run=query.dry_run) as session:
        hook = _find(session, name, lock=True)
        session.delete(hook)
        tallies.forget(session, list(tally_keys(hook.name).values()))
        _record(session, "webhook.deleted", hook, "deleted")
    return None


@endpoint(webhooks, "POST", "/webhooks/<name>/test", query=Change, answers={200: WebhookTested}, errors=(404,))
def test_webhook(name: str, *, query: Change) -> Reply:
    """Post an event of kind ``webhook.test`` and id 0 now, signed like any other, and say what became of it. A dry run posts
    nothing."""
    here = context()
    with here.store.session() as session:
        hook = _find(session, name)
    if query.dry_run:
        return {"delivered": False, "status": None, "error": "a dry run posts nothing", "seconds": 0.0}
    message = f"webhook {name} was tested by {caller()}"
    event = {"id": 0, "at": here.clock().isoformat(), "kind": "webhook.test", "message": message}
    began = time.monotonic()
    answer: dict[str, Any] = {"delivered": True, "status": None, "error": None}
    try:
        with Poster(hook.url, verify_tls=hook.verify_tls) as poster:
            nothing: dict[str, Any] = {"machine": None, "operation": None, "data": {"webhook": name}}
            answer["status"] = poster.post({**event, **nothing}, secret_of(hook), here.clock())
    except Undelivered as failure:
        answer = {"delivered": False, "status": failure.status, "error": failure.reason}
    return {**answer, "seconds": round(time.monotonic() - began, 3)}


def _change(session: Session, hook: Webhook, wished: dict[str, Any]) -> dict[str, Any]:
    _check(wished)
    secret = wished.pop("secret", None)
    changed = [key for key, value in wished.items() if getattr(hook, key) != value]
    for key in changed:
        setattr(hook, key, wished[key])
    if secret and hook.secrets.get("hmac") != secret:
        hook.secrets = {"hmac": secret}
        changed.append("secret")
    if not _WHERE.isdisjoint(changed):  # what failed elsewhere, or by another key, says nothing of what is tried now
        hook.failures, hook.failing_since, hook.last_error = 0, None, ""
    if changed:
        hook.retry_at = None
        session.flush()
        _record(session, "webhook.changed", hook, f"changed ({', '.join(sorted(changed))})")
    return {**show(hook), "changed": bool(changed), "secret": None}


def _check(wished: dict[str, Any]) -> None:
    if "url" in wished:
        check_url(wished["url"])
    for pattern in wished.get("events", ()):
        check_pattern(pattern)


def _record(session: Session, kind: str, hook: Webhook, what: str) -> None:
    data = {"webhook": hook.name}
    record(session, kind, f"webhook {hook.name} was {what} by {caller()}", data=data, at=context().clock())


def _find(session: Session, name: str, *, lock: bool = False) -> Webhook:
    statement = select(Webhook).where(Webhook.name == name)
    hook = session.scalar(statement.with_for_update() if lock else statement)
    if hook is None:
        raise NotFound("webhook_not_found", f"There is no webhook {name}.", webhook=name)
    return hook
