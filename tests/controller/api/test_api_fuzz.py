# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests made at random from the OpenAPI document: whatever is sent, no request ends in an internal error."""

from __future__ import annotations

import json
import random
import re
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

NASTY: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**63, 10**400, "", " ", "x" * 64, "x" * 5000, "\0", "\ud800", "\U0001f600", "../..", "%00", "NaN"),
    *("9" * 99, "'; DROP TABLE machine;--", [], {}, [[]], [None], {"": ""}, ["a"] * 300, {"driver": "ipmi", "parameters": {}}),
]
PLAUSIBLE = [
    *("n1", "n2", "debian/12", "52:54:00:00:00:01", "52:54:00:00:00:02", "10.0.0.0/24", "10.0.0.9", "255.255.255.255", "::1"),
    *("16GiB", "auto", "dhcp", "manual", "ready", "now", "UTC", "quick", "http://a/b", "http://[::1", "file:///a%00"),
    *("#cloud-config\na: 1", "#cloud-config\n[", "#!/bin/sh", "#include\nx", "## template: jinja\n{{"),
    *("dynamic", "10.0.0.5", "2001:db8::/64", "2001:db8::5", "lab.example", "www", "A", "CNAME", "10 mail", "log-servers"),
    'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="',
]


class Sender:
    """Makes requests that the document allows, more or less."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self.schemas = document["components"]["schemas"]
        self.operations = [
            (method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if not path.startswith("/api/v1/tokens/")  # the token in use would be deleted sooner or later
        ]
        self.random = random.Random(seed)

    def value(self, schema: dict[str, Any]) -> Any:
        choose = self.random.choice
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        if self.random.random() < 0.1:
            return choose(NASTY)
        if "anyOf" in schema:
            return self.value(choose(schema["anyOf"]))
        if "enum" in schema or "const" in schema:
            return choose(schema.get("enum", [schema.get("const")]))
        kind = schema.get("type")
        if kind == "object":
            required = schema.get("required", [])
            named = schema.get("properties", {}).items()
            return {name: self.value(each) for name, each in named if self.random.random() < (0.95 if name in required else 0.2)}
        if kind == "array":
            return [self.value(schema.get("items", {})) for _ in range(self.random.randint(0, 3))]
        return choose({"integer": [0, 1, 2, 100], "number": [0], "boolean": [True, False]}.get(kind or "", PLAUSIBLE))

    def request(self) -> tuple[str, str, dict[str, str], bytes | None]:
        method, path, operation = self.random.choice(self.operations)
        path = re.sub(
            r"\{\w+\}", lambda _: quote(str(self.random.choice(["n1", "n2", "debian/12", "10", "\0", "ä", "x" * 300]))), path
        )
        query = {}
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query" and parameter["name"] != "wait" and self.random.random() < 0.2:
                value = self.value(parameter["schema"])
                query[parameter["name"]] = (
                    (value if isinstance(value, str) else json.dumps(value)).encode(errors="replace").decode()
                )
        body = operation.get("requestBody")
        data = json.dumps(self.value(body["content"]["application/json"]["schema"])).encode() if body else None
        return method.upper(), path, query, data


@pytest.mark.parametrize("seed", range(4))
def test_no_request_ends_in_an_internal_error(client: FlaskClient, image: str, seed: int) -> None:
    document: Any = client.get("/api/v1/openapi.json").json
    sender = Sender(document, seed)
    seen = set()
    for _ in range(500):
        method, path, query, data = sender.request()
        response = client.open(path, method=method, query_string=query, data=data, content_type="application/json")
        assert response.status_code < 500, (method, path, query, data)
        seen.add(response.status_code)
    assert {200, 404, 422} <= seen
