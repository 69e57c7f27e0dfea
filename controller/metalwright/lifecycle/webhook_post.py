# SPDX-License-Identifier: GPL-3.0-or-later
"""One POST of one event to a webhook's server, signed.

``Metalwright-Signature: t=<unix time>,v1=<hex>``: HMAC-SHA256 (RFC 2104) over the time, a dot and the body, so that a recorded
delivery can not be sent again later as a new one. Nothing is followed: no redirect, no proxy of the environment, no ``.netrc``,
and nothing is sent to a link-local address.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from metalwright import __version__
from metalwright.outbound import LinkLocal, Plain, Secure

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""Until the answer has come, from when the request is sent; a server that trickles has no longer either."""
ANSWER_BYTES = 64 << 10
"""Of an answer's body that are read, to use the connection again; what it says does not matter."""


class Undelivered(Exception):
    """The server did not take the event: why, and what it answered (None: nothing)."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def signature(secret: str, body: bytes, now: datetime) -> str:
    """The value of the header ``Metalwright-Signature``."""
    at = str(int(now.timestamp()))
    mac = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def host_and_port(url: str) -> tuple[str, int]:
    """Where a URL leads. Raises ``ValueError`` for one that leads nowhere."""
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0:
        raise ValueError("no host")
    return parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


class Poster:
    """Posts to one URL and keeps the connection open in between. A context manager, for one thread."""

    def __init__(self, url: str, *, verify_tls: bool) -> None:
        self.url = url
        self.verify_tls = verify_tls
        self._connection: http.client.HTTPConnection | None = None
        self._cut_off = False

    def __enter__(self) -> Poster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def post(self, event: dict[str, Any], secret: str, now: datetime) -> int:
        """Deliver an event; returns the status, 200 to 299. Raises ``Undelivered``; it may have arrived even then."""
        try:
            body = json.dumps(event, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        except Exception as error:  # noqa: BLE001 - whatever an event holds, it is a failure of this one delivery
            raise Undelivered(f"event {event.get('id')} can not be written as JSON: {error}") from None
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"metalwright/{__version__}",
            "Metalwright-Event-Id": str(event["id"]),
            "Metalwright-Signature": signature(secret, body, now),
        }
        try:
            status = self._send(body, headers)
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Undelivered(f"its certificate is not trusted: {error.verify_message}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Undelivered(self._words(error)) from None
        if not 200 <= status < 300:
            note = ", and redirects are not followed" if 300 <= status < 400 else ""
            raise Undelivered(f"it answered {status}{note}", status)
        return status

    def _send(self, body: bytes, headers: dict[str, str]) -> int:
        if self._connection is not None:
            try:
                return self._exchange(self._connection, body, headers)
            except (http.client.RemoteDisconnected, ConnectionError):
                if self._cut_off:
                    raise
                self.close()  # closed by the server since the last time; what arrived twice is known by its id
        self._connection = self._connect()
        return self._exchange(self._connection, body, headers)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = host_and_port(self.url)
        if urlsplit(self.url).scheme == "https":
            tls = _tls(verify=self.verify_tls)
            connection: http.client.HTTPConnection = Secure(host, port=port, timeout=CONNECT_SECONDS, context=tls)
        else:
            connection = Plain(host, port, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        return connection

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> int:
        self._cut_off = False
        limit = threading.Timer(ANSWER_SECONDS, self._cut, [connection.sock])
        limit.daemon = True
        limit.start()
        try:
            connection.request("POST", _target(urlsplit(self.url)), body, headers)
            answer = connection.getresponse()
            if not _read(answer) or answer.will_close:
                self.close()
            return answer.status
        finally:
            limit.cancel()

    def _cut(self, sock: socket.socket) -> None:
        self._cut_off = True
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # also below TLS; wakes the thread that reads
        except OSError:
            return

    def _words(self, error: Exception) -> str:
        if self._cut_off or isinstance(error, TimeoutError):
            return "it did not answer in time"
        if isinstance(error, socket.gaierror):
            return f"the name {urlsplit(self.url).hostname} is not known: {error.strerror}"
        if isinstance(error, ssl.SSLError):
            return f"TLS with it failed: {error.reason or error}"
        if isinstance(error, ConnectionResetError | BrokenPipeError):  # how it is told depends on who is faster
            return "it closed the connection without an answer"
        if isinstance(error, LinkLocal):
            return str(error)
        if isinstance(error, OSError):
            return f"it can not be reached: {error.strerror or type(error).__name__}"
        return f"what answers there does not speak HTTP ({type(error).__name__})"


def _read(answer: http.client.HTTPResponse) -> bool:
    """Read the body, whatever it says; False when the connection can not be used again."""
    try:
        return len(answer.read(ANSWER_BYTES)) < ANSWER_BYTES
    except (OSError, http.client.HTTPException):
        return False  # the status has come, and that is what counts


def _tls(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
