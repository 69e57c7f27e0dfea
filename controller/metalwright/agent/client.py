# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP with the controller's node plane: JSON both ways, asked again until there is an answer.

Every call may be made twice without harm (the protocol promises it), so a broken connection is simply tried again.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from . import backoff
from .abort import Abort
from .console import Console
from .errors import Refused, StepFailed

TIMEOUT = 30.0
LARGEST_ANSWER = 16 << 20
_TOO_MANY_REQUESTS = 429
_Answer = TypeVar("_Answer")


class NoAnswer(Exception):
    """The controller could not be reached, broke off, or answered 429 or 5xx. The text says which."""


def parse(url: str) -> SplitResult:
    """Split a URL of the node plane. Raises ``StepFailed`` (``agent_error``) when it is not plain HTTP with a host."""
    try:
        split = urlsplit(url)
        port_is_valid = split.port is None or split.port > 0
    except ValueError:
        port_is_valid = False
    if not port_is_valid or split.scheme != "http" or not split.hostname:
        raise StepFailed("agent_error", f"not an http:// URL with a host: {url}")
    return split


def connect(url: SplitResult, timeout: float) -> http.client.HTTPConnection:
    """Return a connection to the URL's host, not yet opened; ``timeout`` in seconds holds for each wait."""
    return http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=timeout)


def request_target(url: SplitResult) -> str:
    """Return what goes into the request line: path and query."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


class Client:
    """Speaks for one operation: all calls are relative to ``base_url`` (``http://IP:PORT/agent/TOKEN``)."""

    def __init__(self, base_url: str, console: Console, abort: Abort, pause: Callable[[float], None] | None = None) -> None:
        """``pause`` sleeps between tries (default: ``abort.sleep``)."""
        self.base_url = base_url.rstrip("/")
        parse(self.base_url)
        self._console = console
        self._abort = abort
        self._pause = pause or abort.sleep

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post JSON to ``base_url``/``path`` (or ``base_url`` itself when empty), as often as it takes; return the JSON object.

        Raises ``Refused`` for an answer of 400 to 499 (429 is tried again), ``Aborted`` when the job is aborted meanwhile.
        """
        return self._insist(path or "the controller", lambda: self.post_once(path, body))

    def post_once(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Like ``post``, but a single try. Raises ``NoAnswer`` and ``Refused``."""
        url = f"{self.base_url}/{path}" if path else self.base_url
        content = self._exchange("POST", url, json.dumps(body).encode())
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise NoAnswer("the answer is not JSON") from error
        if not isinstance(answer, dict):
            raise NoAnswer("the answer is not a JSON object")
        return answer

    def get(self, url: str) -> bytes:
        """Fetch an absolute URL, as often as it takes. Raises ``Refused`` and ``Aborted``."""
        return self._insist(url, lambda: self._exchange("GET", url, None))

    def _insist(self, what: str, once: Callable[[], _Answer]) -> _Answer:
        failures = 0
        while True:
            self._abort.check()
            try:
                return once()
            except NoAnswer as error:
                failures += 1
                delay = backoff.after(failures)
                self._console.say(f"no answer for {what}: {error}; trying again in {delay:.0f} s")
                self._pause(delay)

    def _exchange(self, method: str, url: str, body: bytes | None) -> bytes:
        split = parse(url)
        connection = connect(split, TIMEOUT)
        headers = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, request_target(split), body, headers)
            response = connection.getresponse()
            content = response.read(LARGEST_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if len(content) > LARGEST_ANSWER:
            raise NoAnswer("the answer is too long")
        if response.status == _TOO_MANY_REQUESTS or response.status >= 500:
            raise NoAnswer(f"HTTP {response.status} {response.reason}")
        if not 200 <= response.status < 300:
            raise Refused(response.status, *_reason(content, f"HTTP {response.status} {response.reason}"))
        return content


def _reason(content: bytes, default: str) -> tuple[str, str]:
    """Return code and message of the controller's error shape, or ``default`` for an answer of something else."""
    try:
        said = json.loads(content)
        return str(said["code"]), str(said.get("message") or default)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", default
