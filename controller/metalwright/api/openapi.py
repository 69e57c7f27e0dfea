# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenAPI 3.1, made from the declarations of the endpoints: ``/api/v1/openapi.json``.

What an endpoint takes and answers is said once, in its declaration; this page only writes it down in another language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from werkzeug.routing import Rule

from metalwright.api.endpoint import Endpoint, Nothing, Reply, endpoint
from metalwright.api.shapes import Error

openapi = Blueprint("openapi", __name__)

_REF = "#/components/schemas/{model}"
_ALWAYS = (400, 401, 422)
_WITH_BODY = (413, 415)
_SAID = {
    200: "As asked for.",
    201: "Created.",
    202: "Started; it goes on in the background.",
    204: "Done; nothing to say.",
    400: "The request can not be read.",
    401: "No token, or one that is wrong or expired.",
    404: "There is no such thing.",
    409: "Something is in the way; `details` name it.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "The request is not valid; `details` say where.",
    502: "What was asked on your behalf does not answer, or refuses.",
    503: "Not now.",
}
_Key = tuple[str, JsonSchemaMode]


@endpoint(openapi, "GET", "/openapi.json", answers={200: dict[str, Any]}, public=True)
def get_openapi() -> Reply:
    """This document."""
    kept: str | None = current_app.extensions.get("metalwright-openapi")
    if kept is None:
        kept = json.dumps(document(current_app), separators=(",", ":"))
        current_app.extensions["metalwright-openapi"] = kept
    return Response(kept, mimetype="application/json")


def endpoints(app: Flask) -> Iterator[tuple[Rule, Endpoint]]:
    """All rules of the application that are declared endpoints, by path."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        declared = getattr(app.view_functions[rule.endpoint], "__endpoint__", None)
        if declared is not None:
            yield rule, declared


def document(app: Flask) -> dict[str, Any]:
    """The description of all endpoints of an application."""
    found = list(endpoints(app))
    types: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [("error", "serialization", TypeAdapter(Error))]
    for rule, declared in found:
        name = rule.endpoint
        if declared.body is not None:
            types.append((f"{name}/body", "validation", TypeAdapter(declared.body)))
        for status, answer in declared.answers.items():
            if answer is not None:
                types.append((f"{name}/{status}", "serialization", TypeAdapter(answer)))
    schemas, shared = TypeAdapter.json_schemas(types, ref_template=_REF)
    paths: dict[str, Any] = {}
    for rule, declared in found:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        paths.setdefault(path, {})[declared.method.lower()] = _operation(rule, declared, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Metalwright",
            "version": version("metalwright"),
            "description": "The admin plane. Errors have one shape; lists have filters, fields and a cursor; whatever changes "
            "something takes dry_run=true.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(rule: Rule, declared: Endpoint, schemas: dict[_Key, Any]) -> dict[str, Any]:
    name = rule.endpoint
    summary, _, description = declared.text.partition("\n\n")
    answers: dict[str, Any] = {}
    for status, answer in declared.answers.items():
        answers[str(status)] = {"description": _SAID[status]}
        if answer is not None:
            content = {declared.media: {"schema": schemas[(f"{name}/{status}", "serialization")]}}
            if declared.streams:
                content["text/event-stream"] = {"schema": {"type": "string"}}
            answers[str(status)]["content"] = content
    refused = {"application/json": {"schema": schemas[("error", "serialization")]}}
    always = () if declared.public else _ALWAYS
    for status in sorted({*declared.errors, *always, *(_WITH_BODY if declared.body else ())}):
        answers[str(status)] = {"description": _SAID[status], "content": refused}
    answers["default"] = {"description": "Any other error.", "content": refused}
    described: dict[str, Any] = {
        "operationId": name.partition(".")[2],
        "tags": [declared.tag],
        "summary": " ".join(summary.split()),
        "responses": answers,
    }
    if description:
        described["description"] = description
    if parameters := [*_path_parameters(rule), *_query_parameters(declared.query)]:
        described["parameters"] = parameters
    if declared.body is not None:
        required = any(field.is_required() for field in declared.body.model_fields.values())
        schema = schemas[(f"{name}/body", "validation")]
        described["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    if declared.public:
        described["security"] = []
    return described


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in sorted(rule.arguments)]


def _query_parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    if query is Nothing:
        return []
    schema = query.model_json_schema()
    parameters = []
    for name, field in schema.get("properties", {}).items():
        field.pop("title", None)
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": field}
        if "description" in field:
            parameter["description"] = field.pop("description")
        if field.get("type") == "array":
            parameter["style"], parameter["explode"] = "form", False
        parameters.append(parameter)
    return parameters
