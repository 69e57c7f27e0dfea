# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin plane against its own OpenAPI document: what fits it, what does not, with a good token and without one.

Every operation begins with the same populated site, on a real database.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import schemathesis
from amounts import answered, cases
from deepened import deepen
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from populated import Words, populate
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from still_clock import Clock

from metalwright.api.auth import issue
from metalwright.api.openapi import document
from metalwright.app import create_admin_app
from metalwright.config import Images, Node, Settings
from metalwright.lifecycle.engine import Engine
from metalwright.store import Store

TARGET = "admin plane"
WRONG = ["", "Bearer", "Bearer mw_nothing", "Bearer \xff\xfe", "Basic dXNlcjpwYXNz", "Digest x", "Bearer Bearer mw_x"]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
CODE = re.compile(r"[a-z][a-z0-9_]*")
CHECKED = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]


@dataclass
class Site:
    """An admin plane, how it was at first, and how it is put back there."""

    app: Flask
    store: Store
    token: str
    words: Words
    schema: Any
    public: set[tuple[str, str]]
    kept: Path

    def restore(self) -> None:
        """As it was at first."""
        database = Path(self.store.url.database or "")
        self.store.engine.dispose()
        for suffix in ("-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        shutil.copy(self.kept, database)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, migrated: Path, secret_key: Path) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    (directory / "import").mkdir()
    settings = Settings(
        data_dir=directory, node=Node(url="http://10.77.0.1:5248"), images=Images(import_dir=directory / "import")
    )
    shutil.copy(migrated, directory / "metalwright.db")
    store, clock = Store(settings.database), Clock()
    app = create_admin_app(settings, store, clock)
    with store.write() as session:
        _, token = issue(session, "tester", now=clock())
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    words = populate(client, store, Engine(settings, clock))
    store.engine.dispose()
    kept = directory / "kept.db"
    shutil.copy(directory / "metalwright.db", kept)
    described: Any = client.get("/api/v1/openapi.json").json
    every = [(method.upper(), path, told) for path, methods in described["paths"].items() for method, told in methods.items()]
    public = {(method, path) for method, path, told in every if told.get("security") == []}
    del described["security"]  # else a wrong token is part of a case, and what follows is never reached
    schema = schemathesis.openapi.from_dict(described)
    schema.app = app
    yield Site(app, store, token, words, schema, public, kept)
    store.engine.dispose()


@cache
def operations() -> list[tuple[str, str]]:
    """All there are, by method and path."""
    nowhere = Settings(data_dir=Path("/nonexistent"))
    described = document(create_admin_app(nowhere, Store("sqlite://")))
    return [(method.upper(), path) for path, methods in described["paths"].items() for method in methods]


def has_error_shape(body: Any) -> bool:
    return (
        isinstance(body, dict)
        and set(body) == {"code", "message", "details", "hint"}
        and bool(CODE.fullmatch(body["code"]))
        and isinstance(body["message"], str)
        and body["message"] != ""
        and isinstance(body["details"], dict)
        and isinstance(body["hint"], str)
    )


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_request_is_answered_as_the_document_says(site: Site, method: str, path: str) -> None:
    site.restore()
    operation = site.schema[path][method]
    wanted = [GenerationMode.POSITIVE]
    if operation.body or operation.query:
        wanted.append(GenerationMode.NEGATIVE)
    generated = st.one_of([operation.as_strategy(generation_mode=mode) for mode in wanted])

    @cases(few=1, many=300)
    @given(case=generated, chance=st.randoms(use_true_random=False), wrong=st.sampled_from(WRONG))
    def try_it(case: Case, chance: Random, wrong: str) -> None:
        deepen(case, site.words, chance)
        refused = case.call(headers={"Authorization": wrong})
        if (method, path) not in site.public:
            assert refused.status_code in (400, 401), f"let in with {wrong!r}: {refused.status_code}"
            assert has_error_shape(refused.json())
        answer = case.call(headers={"Authorization": f"Bearer {site.token}"})
        answered(TARGET, answer.status_code)
        assert answer.status_code != 500, answer.text
        if answer.status_code >= 400:
            assert has_error_shape(answer.json()), answer.text
        case.validate_response(answer, checks=CHECKED)

    try_it()


@cases(few=10, many=20_000)
@given(
    method=st.sampled_from(METHODS),
    path=st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from([path for _, path in operations()]),
    body=st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b'"\\ud800"', b'{"":1e999}']),
    kind=st.sampled_from(["application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data", ""]),
)
def test_any_path_and_any_bytes_are_answered_in_the_one_shape(site: Site, method: str, path: str, body: bytes, kind: str) -> None:
    client = site.app.test_client()
    for header in ("", f"Bearer {site.token}"):
        answer = client.open(
            "/" + path.lstrip("/"), method=method, data=body, content_type=kind, headers={"Authorization": header}
        )
        answered(f"{TARGET}, any bytes", answer.status_code)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400 and method != "HEAD":
            assert has_error_shape(answer.json), answer.text
