# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody gets in without a token, through no door at all."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.api.auth import issue
from metalwright.api.openapi import endpoints
from metalwright.store import Store
from metalwright.store.models import ApiToken

PUBLIC = {"/healthz", "/api/v1/openapi.json"}


def test_only_the_marked_paths_answer_without_a_token(app: Flask, store: Store) -> None:
    answered = set()
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:", "<").replace("<", "").replace(">", "")
        for method in rule.methods or ():
            response = app.test_client().open(path, method=method)
            if response.status_code != 401:
                answered.add(path)
    assert answered == PUBLIC


def test_every_route_is_a_declared_endpoint(app: Flask) -> None:
    assert len(list(endpoints(app))) == len(list(app.url_map.iter_rules()))


def test_unknown_paths_tell_a_stranger_nothing(app: Flask) -> None:
    assert app.test_client().get("/api/v1/nothing").status_code == 401


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("Basic dGVzdGVyOng=", "token_missing"),
        ("Bearer", "token_missing"),
        ("Bearer mw_wrong", "token_wrong"),
        ("Bearer \udcff", "token_wrong"),
    ],
)
def test_a_missing_or_wrong_token_is_named(app: Flask, header: str | None, code: str, store: Store) -> None:
    headers = {} if header is None else {"Authorization": header}
    environ = {} if header is None else {"HTTP_AUTHORIZATION": header}
    response = app.test_client().get("/api/v1/machines", environ_overrides=environ)
    assert headers is not None
    assert (response.status_code, response.json and response.json["code"]) == (401, code)
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_an_expired_token_is_refused_and_says_so(client: FlaskClient, app: Flask, clock: Any) -> None:
    made: Any = client.post("/api/v1/tokens", json={"name": "short", "expires_in": 60}).json
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert app.test_client().get("/api/v1/status", headers=headers).status_code == 200
    clock.advance(60)
    answer: Any = app.test_client().get("/api/v1/status", headers=headers).json
    assert answer["code"] == "token_expired"


def test_a_deleted_token_is_void_at_once(client: FlaskClient, app: Flask) -> None:
    made: Any = client.post("/api/v1/tokens", json={"name": "short"}).json
    assert client.delete("/api/v1/tokens/short").status_code == 204
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert app.test_client().get("/api/v1/status", headers=headers).status_code == 401


def test_a_token_may_replace_itself(client: FlaskClient, app: Flask) -> None:
    assert client.post("/api/v1/tokens?dry_run=true", json={"name": "tester", "replace": True}).status_code == 201
    made: Any = client.post("/api/v1/tokens", json={"name": "tester", "replace": True}).json
    assert client.get("/api/v1/tokens").status_code == 401
    headers = {"Authorization": f"Bearer {made['token']}"}
    listed: Any = app.test_client().get("/api/v1/tokens", headers=headers).json
    assert [each["name"] for each in listed["items"]] == ["tester"]


def test_a_token_is_shown_once_and_kept_as_a_hash(client: FlaskClient, store: Store) -> None:
    made: Any = client.post("/api/v1/tokens", json={"name": "other"}).json
    assert len(made["token"]) > 40
    listed = client.get("/api/v1/tokens").get_data(as_text=True)
    assert client.get("/api/v1/tokens/other").json == client.get("/api/v1/tokens").json["items"][0]
    assert client.get("/api/v1/tokens/nobody").status_code == 404
    assert made["token"] not in listed
    with store.session() as session:
        stored = session.scalars(select(ApiToken).where(ApiToken.name == "other")).one()
    assert made["token"] not in (stored.token_hash, stored.name)


def test_a_name_of_a_token_is_taken_once(client: FlaskClient) -> None:
    response = client.post("/api/v1/tokens", json={"name": "tester"})
    assert (response.status_code, response.json and response.json["code"]) == (409, "name_taken")


def test_when_a_token_was_used_is_kept_without_a_write_for_every_request(client: FlaskClient, store: Store, clock: Any) -> None:
    def used() -> Any:
        with store.session() as session:
            return session.scalars(select(ApiToken.last_used_at).where(ApiToken.name == "tester")).one()

    client.get("/api/v1/status")
    first = used()
    assert first == clock()
    clock.advance(299)
    client.get("/api/v1/status")
    assert used() == first
    clock.advance(1)
    client.get("/api/v1/status")
    assert used() == clock()


def test_tokens_are_random(store: Store, clock: Any) -> None:
    with store.write() as session:
        assert issue(session, "one", now=clock())[1] != issue(session, "two", now=clock())[1]
