# SPDX-License-Identifier: GPL-3.0-or-later
"""The image's bytes in order, over as many connections as it takes (RFC 9110, 14: range requests)."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import backoff
from .abort import Abort
from .client import connect, parse, request_target
from .console import Console
from .errors import StepFailed

_SKIP = 1 << 20
PATIENCE = 600.0
"""Seconds of trying and pausing without a single new byte before the download counts as failed: a controller that is being
upgraded, or whose host restarts, is back by then."""
TIMEOUT = 30.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class _Broken(Exception):
    """A try has failed; the text says how."""


class Download:
    """One file of known size, read once from its beginning to its end."""

    def __init__(
        self,
        url: str,
        size: int,
        console: Console,
        abort: Abort,
        pause: Callable[[float], None] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """``size`` in bytes; ``timeout``: seconds without a byte after which a connection counts as broken."""
        self._url = url
        self._split = parse(url)
        self._size = size
        self._console = console
        self._abort = abort
        self._pause = pause or abort.sleep
        self._timeout = timeout
        self._offset = 0
        self._failures = 0
        self._in_vain = 0.0

    def chunks(self, take: Callable[[], memoryview]) -> Iterator[tuple[memoryview, int]]:
        """Yield the bytes as buffers that ``take`` has given, and how many bytes are in each.

        The first one is empty and comes when the server has promised the file, so that one can prepare for it only then.
        Raises ``StepFailed``: ``image_download_failed``, and ``image_corrupt`` when the server's file has another size.
        """
        buffer: memoryview | None = None
        promised = False
        while not promised or self._offset < self._size:
            before, began = self._offset, time.monotonic()
            try:
                with self._response() as response:
                    if not promised:
                        promised = True
                        yield memoryview(b""), 0
                    while self._offset < self._size:
                        buffer = buffer or take()
                        count = self._read(response, buffer[: self._size - self._offset])
                        self._offset += count
                        full, buffer = buffer, None
                        yield full, count
            except _Broken as error:
                self._abort.check()
                if self._offset > before:
                    self._failures, self._in_vain = 0, 0.0
                else:
                    self._failures, self._in_vain = self._failures + 1, self._in_vain + time.monotonic() - began
                self._wait(error)

    def _wait(self, error: _Broken) -> None:
        if self._in_vain >= PATIENCE:
            came = f"{self._failures} tries, {self._offset} of {self._size} bytes came"
            raise StepFailed("image_download_failed", f"{self._url}: {error} ({came})")
        delay = backoff.after(max(1, self._failures))
        self._in_vain += delay
        self._console.say(f"write: {self._url}: {error}; going on at byte {self._offset} in {delay:.0f} s")
        self._pause(delay)

    @contextmanager
    def _response(self) -> Iterator[http.client.HTTPResponse]:
        connection = connect(self._split, self._timeout)
        try:
            try:
                connection.connect()
                sock = connection.sock
                with self._abort.cancelling(lambda: _shut(sock)):
                    headers = (
                        {"Range": f"bytes={self._offset}-", "Connection": "close"} if self._offset else {"Connection": "close"}
                    )
                    connection.request("GET", request_target(self._split), headers=headers)
                    response = connection.getresponse()
                    self._position(response)
                    yield response
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _position(self, response: http.client.HTTPResponse) -> None:
        """See that the answer goes on where we are; a server that knows no ranges sends all again, and that is skipped."""
        if response.status == http.client.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != self._offset:
                raise _Broken("the server sent another part of the file than was asked for")
            total = int(found[2])
        elif response.status == http.client.OK:
            total = int(response.headers.get("Content-Length") or self._size)
        else:
            raise _Broken(f"HTTP {response.status} {response.reason}")
        if total != self._size:
            raise StepFailed("image_corrupt", f"{self._url}: the file has {total} bytes, not {self._size}")
        if response.status == http.client.OK:
            skipped = 0
            buffer = memoryview(bytearray(_SKIP))
            while skipped < self._offset:
                skipped += self._read(response, buffer[: self._offset - skipped])

    def _read(self, response: http.client.HTTPResponse, into: memoryview) -> int:
        try:
            count = response.readinto(into)
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(str(error) or type(error).__name__) from error
        if count == 0:
            raise _Broken("the connection ended early")
        return count


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it was gone already
