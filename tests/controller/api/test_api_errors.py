# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error has one shape, says where, and repeats no value."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from metalwright.app import BODY_BYTES
from metalwright.store import Store, sealed

MAC = "52:54:00:12:34:56"


def shape(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    answer: Any = response.json
    assert response.status_code == status, answer
    assert set(answer) == {"code", "message", "details", "hint"}
    assert answer["code"] == code
    return dict(answer)


def test_unknown_paths_and_methods(client: FlaskClient) -> None:
    shape(client.get("/api/v1/nothing"), 404, "not_found")
    assert "GET" in client.delete("/api/v1/status").headers["Allow"]
    shape(client.delete("/api/v1/status"), 405, "method_not_allowed")
    shape(client.get("/api/v1/machines/none"), 404, "machine_not_found")


def test_credentials_without_their_key_are_no_riddle(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    power = {"driver": "ipmi", "parameters": {"address": "10.0.0.5", "username": "admin", "password": "s3cret"}}
    assert client.post("/api/v1/machines", json={"macs": [MAC], "name": "node-1", "power": power}).status_code == 201
    monkeypatch.setattr(sealed, "_keys", [Fernet(Fernet.generate_key())])
    answer = shape(client.get("/api/v1/machines/node-1"), 503, "secret_key_wrong")
    assert "secret.key" in answer["hint"]
    monkeypatch.setattr(sealed, "_keys", [])
    shape(client.post("/api/v1/machines", json={"macs": ["52:54:00:12:34:57"], "power": power}), 503, "secret_key_missing")


@pytest.mark.parametrize("thing", ["machines", "operations", "images", "subnets", "allocations"])
def test_unknown_things_are_not_found(client: FlaskClient, thing: str) -> None:
    answer = shape(client.get(f"/api/v1/{thing}/none"), 404, f"{thing.removesuffix('s')}_not_found")
    assert "none" in answer["message"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"{", 400, "bad_json"),
        (b"\xff{}", 400, "bad_json"),
        (b'{"count": NaN}', 400, "bad_json"),
        (b"[" * 100_000, 400, "bad_json"),
        (b"1" * 5000, 400, "bad_json"),
        (b"[]", 422, "invalid_request"),
        (b'"text"', 422, "invalid_request"),
        (b'{"macs": ["\\u0000"]}', 422, "invalid_request"),
        (b'{"macs": ["\\ud800"]}', 422, "invalid_request"),
        (b" " * (BODY_BYTES + 1), 413, "too_large"),
    ],
)
def test_bodies_that_are_no_json(client: FlaskClient, data: bytes, status: int, code: str) -> None:
    response = client.post("/api/v1/machines", data=data, content_type="application/json")
    shape(response, status, code)


def test_another_content_type(client: FlaskClient) -> None:
    shape(client.post("/api/v1/machines", data="macs=1", content_type="text/plain"), 415, "not_json")


def test_where_it_is_wrong_is_said_and_values_are_not(client: FlaskClient) -> None:
    body = {"macs": [MAC, "s3cret-mac"], "tags": "s3cret-tag", "colour": "s3cret-value", "arch": "s3cret-arch"}
    response = client.post("/api/v1/machines", json=body)
    answer = shape(response, 422, "invalid_request")
    assert {each["where"] for each in answer["details"]["errors"]} == {"macs.1", "tags", "colour", "arch"}
    assert "s3cret" not in response.get_data(as_text=True)
    assert "pydantic" not in response.get_data(as_text=True)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "colour=red", "cursor=none", "cursor=WyIx", "cursor=WzFd", "fields=colour", "limit=1&limit=1"],
)
def test_wrong_queries(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/v1/machines?{query}").status_code == 422


@pytest.mark.parametrize("query", ["cursor=WyJhIiwiYiJd", "cursor=WyIyMDI2LTExLTIxIiwiYiJd"])
def test_cursors_of_another_list(client: FlaskClient, query: str) -> None:
    shape(client.get(f"/api/v1/operations?{query}"), 422, "bad_cursor")


def test_nul_in_the_address(client: FlaskClient) -> None:
    shape(client.get("/api/v1/machines/%00"), 400, "bad_request")
    shape(client.get("/api/v1/machines?name=%00"), 400, "bad_request")


def test_a_surprise_tells_nothing(client: FlaskClient, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE task")
    client.post("/api/v1/machines", json={"macs": [MAC]})
    answer = shape(client.get("/api/v1/status"), 503, "database_unavailable")
    assert "task" not in answer["message"]
    capsys.readouterr()
