# SPDX-License-Identifier: GPL-3.0-or-later
"""The Flask application of the node plane: its routes and its one error shape, nothing else."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from metalwright.config import Settings
from metalwright.errors import MetalwrightError
from metalwright.lifecycle.engine import Engine
from metalwright.node import agent, boot, console, enlist, files, report, runs, seed
from metalwright.node.plane import Plane, Seldom
from metalwright.store import Store
from metalwright.store.base import Clock, utcnow
from metalwright.store.collisions import passing

log = logging.getLogger("metalwright.node")

_NOTHING_HERE = {"code": "not_found", "message": "There is nothing here.", "details": {}, "hint": ""}
_ONE_HOUR = 3600


def create_app(settings: Settings, store: Store, engine: Engine, clock: Clock = utcnow) -> Flask:
    """The node plane as a WSGI application.

    It has no session, no cookie and no admin route. Whoever asks for something that does not exist, or with a token that is
    wrong, void or another machine's, gets the same 404.
    """
    app = Flask("metalwright.node", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.limits.body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    plane = Plane(settings, store, engine, clock)
    for room in (boot, files, enlist, agent, runs, console, seed, report):
        app.register_blueprint(room.routes(plane))
    _configure_errors(app, plane)
    _log_malformed_requests_once()
    return app


def _configure_errors(app: Flask, plane: Plane) -> None:
    seldom = Seldom(_ONE_HOUR)

    @app.errorhandler(MetalwrightError)
    def _known(error: MetalwrightError) -> tuple[Response, int]:
        if error.status == 404:
            return jsonify(_NOTHING_HERE), 404
        if error.status in (400, 413, 422) and seldom.allows(f"{error.code} {request.endpoint}", plane.clock()):
            log.warning(
                "malformed request from %s for %s: %s (told once an hour)", request.remote_addr, request.endpoint, error.message
            )
        return jsonify(error.as_dict()), error.status

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> tuple[Response, int]:
        status = error.code or 500
        if status in (404, 405):
            return jsonify(_NOTHING_HERE), 404
        body = {"code": "bad_request", "message": error.name, "details": {}, "hint": ""}
        return jsonify(body), status

    @app.errorhandler(Exception)
    def _unknown(error: Exception) -> tuple[Response, int]:
        if trouble := passing(error):
            log.warning("%s: %s", request.endpoint, trouble.message)
            response = jsonify({**trouble.as_dict(), "message": "The database is in the way."})
            response.headers["Retry-After"] = "1"
            return response, trouble.status
        log.exception("%s failed", request.endpoint)
        return jsonify({"code": "internal_error", "message": "The controller failed.", "details": {}, "hint": ""}), 500


class _OncePerKind(logging.Filter):
    """Lets a kind of malformed HTTP request through to the log once: it is not news, and who sends it may send millions."""

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom(_ONE_HOUR, size=64)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.startswith("Invalid request from"):
            return True
        kind = message.partition(": ")[2]
        return self._seldom.allows("".join(c for c in kind if c.isalpha())[:16], utcnow())


def _log_malformed_requests_once() -> None:
    gunicorn = logging.getLogger("gunicorn.error")
    if not any(isinstance(known, _OncePerKind) for known in gunicorn.filters):
        gunicorn.addFilter(_OncePerKind())
