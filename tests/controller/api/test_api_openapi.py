# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI document is valid, complete and made from the code. Answers are held against it in every other test."""

from __future__ import annotations

from typing import Any

import openapi_spec_validator
from flask import Flask
from flask.testing import FlaskClient

from metalwright.api.openapi import endpoints

CONTRACT = {
    "/healthz": "get",
    "/metrics": "get",
    "/api/v1/status": "get",
    "/api/v1/machines": "get post",
    "/api/v1/machines/{name}": "get patch delete",
    **{
        f"/api/v1/machines/{{name}}/{action}": "post"
        for action in (
            *("commission", "test", "deploy", "release", "rescue", "exit-rescue", "abort", "converge"),
            *("power-on", "power-off", "power-cycle", "power-query"),
            *("adopt", "mark-broken", "mark-fixed", "override-failed-test", "lock", "unlock"),
        )
    },
    "/api/v1/machines/actions/{action}": "post",
    "/api/v1/machines/{name}/timeline": "get",
    "/api/v1/machines/{name}/explain": "get",
    "/api/v1/machines/{name}/scripts": "get",
    "/api/v1/machines/{name}/scripts/{run}": "get",
    "/api/v1/scripts": "get",
    "/api/v1/scripts/{name}": "get put delete",
    "/api/v1/machines/{name}/network": "get put",
    "/api/v1/machines/{name}/validate": "post",
    "/api/v1/chassis": "post",
    "/api/v1/power/drivers": "get",
    "/api/v1/operations": "get",
    "/api/v1/operations/{operation_id}": "get",
    "/api/v1/operations/{operation_id}/abort": "post",
    "/api/v1/operations/{operation_id}/console": "get",
    "/api/v1/images": "get post",
    "/api/v1/images/{name}": "get delete",
    "/api/v1/subnets": "get post",
    "/api/v1/subnets/{name}": "get patch delete",
    **{f"/api/v1/{kind}": "get post" for kind in ("vlans", "ranges", "reservations", "domains", "records", "dhcp-options")},
    **{f"/api/v1/{kind}/{{name}}": "get patch delete" for kind in ("vlans", "ranges", "reservations", "domains")},
    "/api/v1/records/{record_id}": "get patch delete",
    "/api/v1/dhcp-options/{option_id}": "get patch delete",
    "/api/v1/domains/{name}/records": "put",
    "/api/v1/record-sets": "put",
    "/api/v1/addresses": "get",
    "/api/v1/dns": "get patch",
    "/api/v1/allocations": "get",
    "/api/v1/allocations/{name}": "get put delete",
    "/api/v1/rules": "get",
    "/api/v1/rules/{name}": "get put delete",
    "/api/v1/rules/{name}/matches": "get",
    "/api/v1/rules/apply": "post",
    "/api/v1/pools": "get",
    "/api/v1/pools/{name}": "get put delete",
    "/api/v1/events": "get",
    "/api/v1/webhooks": "get",
    "/api/v1/webhooks/{name}": "get put patch delete",
    "/api/v1/webhooks/{name}/test": "post",
    "/api/v1/tokens": "get post",
    "/api/v1/tokens/{name}": "delete get",
    "/api/v1/openapi.json": "get",
}


def test_the_document_is_valid_and_needs_no_token(app: Flask) -> None:
    document: Any = app.test_client().get("/api/v1/openapi.json").json
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")


def test_it_holds_every_path(client: FlaskClient) -> None:
    document: Any = client.get("/api/v1/openapi.json").json
    assert {path: set(methods) for path, methods in document["paths"].items()} == {
        path: set(methods.split()) for path, methods in CONTRACT.items()
    }


def test_whatever_changes_something_takes_dry_run(app: Flask) -> None:
    for rule, declared in endpoints(app):
        assert ("dry_run" in declared.query.model_fields) == (declared.method != "GET"), rule.rule


def test_everything_is_explained(app: Flask, client: FlaskClient) -> None:
    for rule, declared in endpoints(app):
        assert declared.text, rule.rule
    document: Any = client.get("/api/v1/openapi.json").json
    for name, schema in document["components"]["schemas"].items():
        if schema.get("type") == "object":
            assert schema.get("description"), name


def test_operation_ids_are_unique(client: FlaskClient) -> None:
    document: Any = client.get("/api/v1/openapi.json").json
    ids = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(ids) == len(set(ids))
