# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks by the API: secrets go in and never come out, what is wrong is refused, a dry run leaves nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.store import Store
from metalwright.store.models import Event, Webhook

sys.path.append(str(Path(__file__).parent.parent / "webhooks"))
from receiver import Receiver, signed_by

HOOK = {"url": "https://example.com/hook", "events": ["operation.*", "webhook.given_up"]}
SECRET = "correct horse battery staple"


def answer(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.json
    return response.json


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def key_of(store: Store, name: str) -> str:
    with store.session() as session:
        secret: str = session.scalars(select(Webhook).where(Webhook.name == name)).one().secrets["hmac"]
        return secret


def test_a_new_webhook_gets_a_secret_that_is_shown_once(client: FlaskClient, store: Store) -> None:
    made = answer(client.put("/api/v1/webhooks/chat", json=HOOK))
    assert (made["changed"], made["events"], made["enabled"], made["failures"]) == (True, HOOK["events"], True, 0)
    assert len(made["secret"]) >= 40
    assert made["secret"] == key_of(store, "chat")
    again = answer(client.put("/api/v1/webhooks/chat", json=HOOK))
    assert (again["changed"], again["secret"]) == (False, None)
    assert made["secret"] == key_of(store, "chat"), "it keeps its key"
    shown = [client.get("/api/v1/webhooks"), client.get("/api/v1/webhooks/chat"), client.get("/api/v1/events")]
    assert all(made["secret"] not in response.text for response in shown)
    with store.session() as session:
        assert made["secret"] not in str(session.connection().exec_driver_sql("SELECT * FROM webhook").all())


def test_a_webhook_is_changed_piece_by_piece_or_as_a_whole(client: FlaskClient, store: Store) -> None:
    answer(client.put("/api/v1/webhooks/chat", json={**HOOK, "secret": SECRET}))
    with store.write() as session:
        hook = session.scalars(select(Webhook)).one()
        hook.retry_at = hook.created_at
    changed = answer(client.patch("/api/v1/webhooks/chat", json={"url": "http://10.0.0.9:8080/", "secret": "x" * 16}))
    assert (changed["changed"], changed["url"], changed["events"]) == (True, "http://10.0.0.9:8080/", HOOK["events"])
    assert changed["retry_at"] is None, "it is tried at once"
    assert key_of(store, "chat") == "x" * 16
    assert answer(client.patch("/api/v1/webhooks/chat", json={"enabled": True}))["changed"] is False
    whole = answer(client.put("/api/v1/webhooks/chat", json={"url": HOOK["url"]}))
    assert (whole["events"], whole["verify_tls"], key_of(store, "chat")) == ([], True, "x" * 16)
    answer(client.delete("/api/v1/webhooks/chat"), 204)
    assert answer(client.get("/api/v1/webhooks/chat"), 404)["code"] == "webhook_not_found"
    with store.session() as session:
        kinds = session.scalars(select(Event.kind).order_by(Event.id)).all()
    assert kinds == ["webhook.created", "webhook.changed", "webhook.changed", "webhook.deleted"]


def test_a_webhook_whose_secret_is_lost_says_so_when_it_is_tested(client: FlaskClient, store: Store, receiver: Receiver) -> None:
    answer(client.put("/api/v1/webhooks/chat", json={**HOOK, "url": receiver.url}))
    with store.write() as session:
        session.connection().exec_driver_sql("UPDATE webhook SET secrets = '{}'")
    tested = answer(client.post("/api/v1/webhooks/chat/test"))
    said = "it has no secret; to give it one: metalwright webhook set chat --secret-file FILE"
    assert (tested["delivered"], tested["status"], tested["error"]) == (False, None, said)
    assert receiver.deliveries == []
    assert answer(client.patch("/api/v1/webhooks/chat", json={"secret": SECRET}))["changed"] is True
    assert answer(client.post("/api/v1/webhooks/chat/test"))["delivered"] is True


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"url": "https://example.com/other"}, True),
        ({"secret": "y" * 16}, True),
        ({"verify_tls": False}, True),
        ({"events": ["task.*"]}, False),
        ({"url": HOOK["url"]}, False),
    ],
)
def test_failures_are_those_of_where_it_leads_now(client: FlaskClient, store: Store, change: dict[str, Any], anew: bool) -> None:
    answer(client.put("/api/v1/webhooks/chat", json={**HOOK, "secret": SECRET}))
    with store.write() as session:
        hook = session.scalars(select(Webhook)).one()
        hook.failures, hook.last_error = 9, "nothing listens on that TCP port"
        hook.failing_since = hook.retry_at = hook.created_at
    shown = answer(client.patch("/api/v1/webhooks/chat", json=change))
    with store.session() as session:
        hook = session.scalars(select(Webhook)).one()
        assert (hook.failures, hook.last_error, hook.failing_since is None) == (
            (0, "", True) if anew else (9, "nothing listens on that TCP port", False)
        )
        assert (hook.retry_at is None) == shown["changed"]


def test_a_new_webhook_begins_with_what_happens_from_now_on(client: FlaskClient) -> None:
    client.put("/api/v1/webhooks/first", json=HOOK)
    latest = answer(client.get("/api/v1/status"))["event_cursor"]
    assert answer(client.put("/api/v1/webhooks/second", json=HOOK))["cursor"] == latest == 1


def test_a_dry_run_leaves_nothing(client: FlaskClient) -> None:
    assert answer(client.put("/api/v1/webhooks/chat?dry_run=true", json=HOOK))["changed"] is True
    assert answer(client.get("/api/v1/webhooks"))["items"] == []
    client.put("/api/v1/webhooks/chat", json=HOOK)
    assert answer(client.patch("/api/v1/webhooks/chat?dry_run=true", json={"enabled": False}))["enabled"] is False
    answer(client.delete("/api/v1/webhooks/chat?dry_run=true"), 204)
    assert [hook["enabled"] for hook in answer(client.get("/api/v1/webhooks?fields=enabled"))["items"]] == [True]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "file:///etc/passwd"}, "webhook_url_invalid"),
        ({"url": "ftp://example.com/"}, "webhook_url_invalid"),
        ({"url": "https:///path"}, "webhook_url_invalid"),
        ({"url": "http://example.com:99999/"}, "webhook_url_invalid"),
        ({"url": "http://[::1"}, "webhook_url_invalid"),
        ({"url": "http://example.com/a b"}, "webhook_url_invalid"),
        ({"url": "http://example.com/\r\nX: y"}, "webhook_url_invalid"),
        ({"url": "https://ops:hunter2@example.com/"}, "webhook_url_has_password"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "webhook_url_link_local"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "webhook_url_link_local"),
        ({**HOOK, "events": ["Operation.*"]}, "webhook_pattern_invalid"),
        ({**HOOK, "events": [""]}, "webhook_pattern_invalid"),
        ({**HOOK, "secret": "short"}, "invalid_request"),
        ({"events": []}, "invalid_request"),
    ],
)
def test_wrong_webhooks(client: FlaskClient, body: dict[str, Any], code: str) -> None:
    refused = answer(client.put("/api/v1/webhooks/chat", json=body), 422)
    assert refused["code"] == code
    assert "hunter2" not in json.dumps(refused)
    answer(client.put("/api/v1/webhooks/a%20b", json=HOOK), 422)
    assert answer(client.get("/api/v1/webhooks"))["items"] == []


def test_a_test_is_posted_at_once_and_signed(client: FlaskClient, receiver: Receiver, tmp_path: Path) -> None:
    client.put("/api/v1/webhooks/chat", json={"url": receiver.url, "secret": SECRET, "enabled": False})
    assert answer(client.post("/api/v1/webhooks/chat/test?dry_run=true"))["delivered"] is False
    assert receiver.deliveries == []
    tested = answer(client.post("/api/v1/webhooks/chat/test"))
    assert (tested["delivered"], tested["status"], tested["error"]) == (True, 200, None)
    (delivery,) = receiver.deliveries
    assert (delivery.event["kind"], delivery.event["id"]) == ("webhook.test", 0)
    assert signed_by(delivery, SECRET, tmp_path)


def test_a_test_says_why_it_was_not_delivered(client: FlaskClient, receiver: Receiver) -> None:
    client.put("/api/v1/webhooks/chat", json={"url": receiver.url})
    receiver.answer = lambda _event: 503
    tested = answer(client.post("/api/v1/webhooks/chat/test"))
    assert (tested["delivered"], tested["status"], tested["error"]) == (False, 503, "it answered 503")
    receiver.stop()
    tested = answer(client.post("/api/v1/webhooks/chat/test"))
    assert (tested["status"], tested["error"]) == (None, "it can not be reached: Connection refused")
