# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that holds every answer against the OpenAPI document, and the machines that tests speak of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from metalwright.api.openapi import document
from metalwright.store import Store
from metalwright.store.models import Image, Interface, Machine

GIB = 1 << 30
HARDWARE = {"schema": 1, "disks": [{"name": "vda", "size_bytes": 8 * GIB, "rotational": False, "removable": False}]}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ ops@example.com"

AddMachine = Callable[..., str]


def _strict(schema: Any, *, partial: bool) -> Any:
    """A field that the document does not name is an error in tests; one that is missing is none if fields were chosen."""
    if isinstance(schema, dict):
        closed = {key: _strict(value, partial=partial) for key, value in schema.items()}
        if isinstance(closed.get("properties"), dict):
            closed.setdefault("additionalProperties", False)
            if partial:
                closed.pop("required", None)
        return closed
    return [_strict(each, partial=partial) for each in schema] if isinstance(schema, list) else schema


class CheckingClient(FlaskClient):
    """Compares status and body of every answer with what the document says of them."""

    described: dict[str, Any]
    partly: dict[str, Any]

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        adapter = self.application.url_map.bind("localhost")
        try:
            rule, _ = adapter.match(response.request.path, method=response.request.method, return_rule=True)
        except Exception:
            return response
        path = rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}")
        answers = self.described["paths"][path][response.request.method.lower()]["responses"]
        expected = str(response.status_code)
        assert expected in answers or expected in ("500", "503"), f"{path} answered {expected}, which is not declared"
        content = answers.get(expected, answers["default"]).get("content", {})
        if response.is_json and response.data:
            components = self.partly if "fields" in response.request.args else self.described["components"]
            schema = {**content["application/json"]["schema"], "components": components}
            Draft202012Validator(schema).validate(response.json)
        return response


@pytest.fixture(scope="session")
def _kept() -> dict[str, Any]:
    """The document, made once."""
    return {}


@pytest.fixture
def client(client: FlaskClient, app: Flask, _kept: dict[str, Any]) -> CheckingClient:
    if not _kept:
        _kept["whole"] = _strict(document(app), partial=False)
        _kept["partly"] = _strict(document(app)["components"], partial=True)
    checking = CheckingClient(app)
    checking.environ_base = client.environ_base
    checking.described, checking.partly = _kept["whole"], _kept["partly"]
    return checking


@pytest.fixture
def add_machine(store: Store) -> AddMachine:
    def add(name: str = "node-1", state: str = "ready", **columns: Any) -> str:
        number = sum(ord(letter) * 7**place for place, letter in enumerate(name)) % (1 << 24)
        mac = "52:54:00:" + ":".join(f"{number >> shift & 255:02x}" for shift in (16, 8, 0))
        columns.setdefault("hardware", None if state == "new" else HARDWARE)
        with store.write() as session:
            machine = Machine(name=name, state=state, **columns)
            machine.interfaces = [Interface(mac=mac, boot=True)]
            session.add(machine)
            session.flush()
            return machine.id

    return add


@pytest.fixture
def image(store: Store) -> str:
    """An image, debian/12, of 2 GiB."""
    with store.write() as session:
        image = Image(name="debian/12", firmware=["bios", "uefi"], content_sha256="a" * 64, image_bytes=2 * GIB, format="raw.zst")
        session.add(image)
        session.flush()
        return image.id
