# SPDX-License-Identifier: GPL-3.0-or-later
"""What an endpoint is: a function with a declared query, body and answers.

    @endpoint(machines, "POST", "/machines", body=MachineCreate, query=Change, answers={201: Machine})
    def create_machine(*, body: MachineCreate, query: Change) -> Reply: ...

Requests are checked with pydantic before the function runs; answers are plain dicts, described by ``TypedDict`` for OpenAPI and
for mypy, and never built twice. About a hundred lines instead of a framework: APIFlask was measured at 0.1 s of start and 7 MB
per process more, and validates answers by building objects that nobody asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_origin

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.datastructures import MultiDict

from metalwright.errors import Invalid, MetalwrightError

PREFIX = "/api/v1"

Reply = Any
"""What an endpoint returns: a dict (status: the first one declared), ``(dict, status)``, or a ready ``Response``."""


class Schema(BaseModel):
    """Base of what requests carry: unknown names are errors, so that a typing mistake is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Nothing(Schema):
    """No parameters."""


class Change(Schema):
    """The query of every request that changes something."""

    dry_run: bool = Field(
        False,
        description="Answer what would be and change nothing. Identifiers of things that would be new mean nothing.",
    )


class BadRequest(MetalwrightError):
    """The request can not even be read."""

    status = 400


@dataclass(frozen=True)
class Endpoint:
    """The declaration of an endpoint, kept on its function as ``__endpoint__``."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    tag: str
    query: type[BaseModel]
    body: type[BaseModel] | None
    answers: Mapping[int, Any]
    errors: tuple[int, ...]
    public: bool
    text: str
    streams: bool
    media: str


def endpoint(
    blueprint: Blueprint,
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
    rule: str,
    *,
    answers: Mapping[int, Any],
    query: type[BaseModel] = Nothing,
    body: type[BaseModel] | None = None,
    errors: tuple[int, ...] = (),
    public: bool = False,
    streams: bool = False,
    media: str = "application/json",
) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    """Declare a function as the endpoint ``method rule``.

    It is called with the rule's variables and, if declared, ``query=`` and ``body=``. ``answers`` gives a type by status (None:
    no body). ``errors`` are statuses beyond those every endpoint may answer. ``public`` is the explicit exception from "default
    deny". ``streams``: may answer with server-sent events. ``media``: the content type of its answers, if they are no JSON.
    """

    def declare(function: Callable[..., Reply]) -> Callable[..., Reply]:
        declared = Endpoint(
            method, blueprint.name, query, body, answers, errors, public, (function.__doc__ or "").strip(), streams, media
        )
        default_status = next(iter(answers))

        def serve(**variables: str) -> Response:
            arguments: dict[str, Any] = dict(variables)
            parsed = query.model_validate(_query_values(query, request.args))
            if query is not Nothing:
                arguments["query"] = parsed
            if body is not None:
                arguments["body"] = body.model_validate(read_json())
            result = function(**arguments)
            if isinstance(result, Response):
                return result
            value, status = result if isinstance(result, tuple) else (result, default_status)
            response = respond(value, status)
            if getattr(parsed, "dry_run", False):
                response.headers["Metalwright-Dry-Run"] = "true"
            return response

        serve.__name__ = function.__name__
        serve.__doc__ = function.__doc__
        serve.__endpoint__ = declared  # type: ignore[attr-defined]
        blueprint.add_url_rule(rule, function.__name__, serve, methods=[method])
        return function

    return declare


def respond(value: Any, status: int) -> Response:
    """A JSON answer; ``None`` is an empty one."""
    if value is None:
        response = Response(status=status)
        del response.headers["Content-Type"]
    else:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        response = Response(text, status=status, mimetype="application/json")
    if "retry_after" in g:
        response.headers["Retry-After"] = str(g.retry_after)
    return response


def read_json() -> Any:
    """The body of the request as JSON; no body is an empty object.

    Raises ``BadRequest`` (``bad_json``) that says where, ``Invalid`` for text no database can keep (NUL, lone surrogates), and
    ``MetalwrightError`` 415 for another content type.
    """
    data = request.get_data(cache=False)
    if not data:
        return {}
    if not request.is_json:
        error = MetalwrightError("not_json", "The body is not declared as JSON.", "Send Content-Type: application/json.")
        error.status = 415
        raise error
    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as wrong:
        where = {"line": wrong.lineno, "column": wrong.colno}
        raise BadRequest("bad_json", f"The body is not JSON: {wrong.msg}.", "Look at that place.", **where) from None
    except (UnicodeDecodeError, ValueError, RecursionError) as wrong:
        raise BadRequest("bad_json", f"The body is not JSON: {_unreadable(wrong)}.") from None
    if "\\u" in text:
        _check_text(value)
    return value


def _unreadable(wrong: Exception) -> str:
    if isinstance(wrong, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {wrong.start})"
    return "it is nested too deeply" if isinstance(wrong, RecursionError) else "it holds a number that JSON does not know"


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")  # RFC 8259 section 6


def is_storable(text: str) -> bool:
    """Whether databases and UTF-8 files can hold a text: it has no NUL and no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_text(value: Any) -> None:
    """Refuse what only an escape can bring into a JSON string and what can not be stored."""
    if isinstance(value, str):
        if not is_storable(value):
            raise Invalid("invalid_request", "The body holds text with a NUL character or half a surrogate pair.")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)


def _query_values(query: type[BaseModel], given: MultiDict[str, str]) -> dict[str, Any]:
    """Values of the query string: lists where the model says list (given more than once, or separated by commas)."""
    values: dict[str, Any] = {}
    for name, texts in given.lists():
        field = query.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            values[name] = [part for text in texts for part in text.split(",") if part]
        elif len(texts) == 1:
            values[name] = texts[0]
        else:
            raise Invalid("invalid_request", f"query.{name} is given {len(texts)} times; it takes one value.")
    return values
