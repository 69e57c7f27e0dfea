# SPDX-License-Identifier: GPL-3.0-or-later
"""A cursor that somebody made up is refused, whatever it holds: it never reaches the database."""

from __future__ import annotations

import base64
import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from metalwright.api.openapi import endpoints

KEYS = ["\ud800", "9" * 30, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00", "", "x"]


def lists(app: Flask) -> list[str]:
    """The paths of all lists that are not of something else."""
    found = [
        rule.rule for rule, declared in endpoints(app) if declared.method == "GET" and "cursor" in declared.query.model_fields
    ]
    return [path for path in found if "<" not in path]


@pytest.mark.parametrize("key", KEYS)
def test_made_up_cursor_is_refused_or_means_a_place(app: Flask, client: FlaskClient, key: str) -> None:
    paths = lists(app)
    assert len(paths) > 15
    for path in paths:
        for parts in ([key], [key, key], [key, "1", key], [key] * 4):
            cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
            answer = client.get(path, query_string={"cursor": cursor})
            assert answer.status_code == 200 or answer.json["code"] == "bad_cursor", (path, parts, answer.text)


def test_runs_of_scripts(client: FlaskClient) -> None:
    client.post("/api/v1/machines", json={"name": "node-1", "macs": ["52:54:00:00:00:01"]})
    for parts in (["9999-12-31T23:59:59-14:00", "1", "x"], ["2026-01-01T00:00:00+00:00", "9" * 12, "x"]):
        cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
        answer = client.get("/api/v1/machines/node-1/scripts", query_string={"cursor": cursor})
        assert answer.json["code"] == "bad_cursor"
