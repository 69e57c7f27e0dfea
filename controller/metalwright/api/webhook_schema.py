# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks as the API takes and shows them. The secret is shown once, when the controller has made it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from metalwright.api.endpoint import Schema
from metalwright.api.shapes import moment
from metalwright.store.models import Webhook

Patterns = Annotated[list[Annotated[str, Field(max_length=48)]], Field(max_length=64)]
Secret = Annotated[str, Field(min_length=16, max_length=256)]

_URL = "http:// or https://; any address that the controller reaches. Without user name and password."
_EVENTS = "Kinds of events, for example operation.failed; * stands for any text. Empty: all."
_TLS = "Whether the server's certificate is verified, against the certificates this host trusts."
_ENABLED = "While false nothing is posted; what happens meanwhile is posted afterwards, as far as the event log reaches."


class WebhookPut(Schema):
    """A webhook as it shall be."""

    url: str = Field(max_length=2048, description=_URL)
    events: Patterns = Field([], description=_EVENTS)
    secret: Secret | None = Field(
        None, description="Key of the signature. Default: the one it has; for a new webhook one is made and answered, this once."
    )
    verify_tls: bool = Field(True, description=_TLS)
    enabled: bool = Field(True, description=_ENABLED)


class WebhookPatch(Schema):
    """What is to change; what is not named stays."""

    url: str | None = Field(None, max_length=2048, description=_URL)
    events: Patterns | None = Field(None, description=_EVENTS)
    secret: Secret | None = Field(None, description="New key of the signature.")
    verify_tls: bool | None = Field(None, description=_TLS)
    enabled: bool | None = Field(None, description=_ENABLED)


class WebhookView(TypedDict):
    """A webhook. ``cursor``: the last event it has got, or that was not for it. ``failures``: deliveries that failed since one
    went well, the first at ``failing_since``; ``given_up``: events that were given up meanwhile."""

    name: str
    url: str
    events: list[str]
    verify_tls: bool
    enabled: bool
    cursor: int
    failures: int
    failing_since: str | None
    last_error: str
    retry_at: str | None
    given_up: int
    last_delivery_at: str | None
    created_at: str


class WebhookChanged(WebhookView):
    """A webhook after a change; ``changed`` is false when it was like that already. ``secret`` is the key of the signature if the
    controller has just made it, which is never shown again; else null."""

    changed: bool
    secret: str | None


class WebhookTested(TypedDict):
    """What became of a test. ``status`` is what the server answered, null if nothing; ``error`` says why it was not delivered."""

    delivered: bool
    status: int | None
    error: str | None
    seconds: float


def show(hook: Webhook) -> WebhookView:
    """A webhook for the API."""
    return {
        "name": hook.name,
        "url": hook.url,
        "events": hook.events,
        "verify_tls": hook.verify_tls,
        "enabled": hook.enabled,
        "cursor": hook.cursor,
        "failures": hook.failures,
        "failing_since": moment(hook.failing_since),
        "last_error": hook.last_error,
        "retry_at": moment(hook.retry_at),
        "given_up": hook.given_up,
        "last_delivery_at": moment(hook.last_delivery_at),
        "created_at": hook.created_at.isoformat(),
    }
