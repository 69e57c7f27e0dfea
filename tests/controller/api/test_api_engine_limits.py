# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine that serves can not do is refused before it is stored."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from metalwright.config import Dhcp, Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"dhcp": Dhcp(engine="dnsmasq", interface="lo")})


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("patch", "/dns", {"recurse_from": ["10.0.0.0/8"]}, "has no list of networks"),
        ("post", "/records", {"domain": "x.example", "name": "www", "type": "CNAME", "data": "www.example.org"}, "is elsewhere"),
        ("post", "/records", {"domain": "x.example", "name": "*", "type": "A", "data": "192.0.2.1"}, "no wildcard record"),
    ],
)
def test_what_dnsmasq_can_not_do(client: FlaskClient, method: str, path: str, body: dict[str, Any], words: str) -> None:
    assert client.post("/api/v1/domains", json={"name": "x.example"}).status_code == 201
    answer = getattr(client, method)(f"/api/v1{path}", json=body)
    assert answer.status_code == 422, answer.json
    assert answer.json["code"] == "engine_can_not"
    assert words in answer.json["message"]
    assert "kea+bind" in answer.json["hint"]
