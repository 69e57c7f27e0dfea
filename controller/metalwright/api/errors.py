# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error that leaves the admin plane has one shape: ``{code, message, details, hint}``.

Values of a request that was refused are never repeated, so that no password ends in a log; the places that are wrong are named.
"""

from __future__ import annotations

import structlog
from flask import Flask, Response, request
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from werkzeug.exceptions import HTTPException

from metalwright.api.endpoint import respond
from metalwright.errors import Conflict, Invalid, MetalwrightError, Unauthorized, Unavailable
from metalwright.store.collisions import busy

log = structlog.get_logger()

_HTTP = {
    400: ("bad_request", "The request can not be read.", ""),
    404: ("not_found", "There is nothing under this path.", "The paths are listed in /api/v1/openapi.json."),
    405: ("method_not_allowed", "This path does not take that method.", "The methods are listed in /api/v1/openapi.json."),
    413: ("too_large", "The body is larger than the admin plane accepts.", ""),
    415: ("not_json", "The body is not declared as JSON.", "Send Content-Type: application/json."),
}


def install(app: Flask) -> None:
    """Have the application answer every error in the one shape."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, lambda error: answer(known(error)))


def known(error: Exception) -> MetalwrightError:
    """The error to answer with when a request has met ``error``; what nobody expected is written to the log."""
    if isinstance(error, StatementError) and isinstance(error.orig, MetalwrightError):
        return error.orig  # of a column that is sealed, without its key
    if isinstance(error, MetalwrightError):
        return error
    if isinstance(error, ValidationError):
        return from_validation(error)
    if isinstance(error, IntegrityError):
        log.info("two requests met", path=request.path, error=type(error.orig).__name__)
        return Conflict("already_exists", "Another request was first with the same name or address.", "Look, and try again.")
    if collision := busy(error):
        log.info("two requests met", path=request.path, error="deadlock")
        return collision
    if isinstance(error, OperationalError):
        log.warning("database", path=request.path, error=str(error.orig))
        return Unavailable("database_unavailable", "The database did not answer in time.", "Try again.")
    log.error("a request failed unexpectedly", method=request.method, path=request.path, exc_info=error)
    return MetalwrightError("internal", "The controller failed unexpectedly.", "The controller's log says why; please report it.")


def answer(error: MetalwrightError) -> Response:
    """The answer to a known error."""
    response = respond(error.as_dict(), error.status)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 6750 section 3
    if isinstance(error, Unavailable):
        response.headers.setdefault("Retry-After", "1")
    return response


def from_validation(error: ValidationError) -> Invalid:
    """What pydantic found, without the values and without its links; ``details.errors`` lists ``{where, problem}``."""
    found = [
        {"where": ".".join(str(part) for part in each["loc"]), "problem": _problem(each["type"], each["msg"])}
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    said = "; ".join(f"{each['where'] or 'body'}: {each['problem']}" for each in found[:5])
    return Invalid(
        "invalid_request",
        f"The request is not valid: {said}" + ("; and more" if len(found) > 5 else ""),
        "What each request takes is described in /api/v1/openapi.json.",
        errors=found[:50],
    )


def _problem(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "missing":
        return "is required"
    return message.removeprefix("Value error, ")


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    code, message, hint = _HTTP.get(status, (error.name.lower().replace(" ", "_"), error.name, ""))
    told = MetalwrightError(code, message, hint)
    told.status = status
    response = answer(told)
    if "Allow" in (headers := dict(error.get_headers())):
        response.headers["Allow"] = headers["Allow"]
    return response
