# SPDX-License-Identifier: GPL-3.0-or-later
"""Where images come from: a file of this host or an HTTP server, read once from beginning to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from metalwright.errors import Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    import requests  # at run time only where it is used: it would cost every start of the controller 0.1 s

CHUNK = 1 << 20
TRIES = 5
"""Tries in a row without a single new byte before a download counts as failed."""
_TIMEOUT = (10.0, 60.0)
_LONGEST_PAUSE = 10.0
_GONE = (404, 410)


class Source(Protocol):
    """``name`` is fit for messages; ``size`` is in bytes, None until known."""

    name: str
    size: int | None

    def chunks(self) -> Iterator[bytes]: ...


def open_source(source: str | Path) -> Source:
    """Return the source that ``source`` names: an http(s) URL or a path.

    Raises ``NotFound`` (``image_not_found``) for a file that does not exist, ``Invalid`` (``image_source_unreachable``) for
    a URL of another kind.
    """
    if isinstance(source, str) and "://" in source:
        if urlsplit(source).scheme not in ("http", "https"):
            raise Invalid("image_source_unreachable", f"{without_password(source)}: only http and https URLs are read.")
        return HttpSource(source)
    return FileSource(Path(source))


class FileSource:
    """A file of this host."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFound("image_not_found", f"There is no file {path}.", "Check the path; it is read on the controller's host.")
        self.path = path
        self.name = str(path)
        self.size: int | None = path.stat().st_size

    def chunks(self) -> Iterator[bytes]:
        """Yield the file in pieces. Raises ``Unavailable`` (``image_source_unreachable``) where it can not be read."""
        try:
            with self.path.open("rb") as stream:
                while piece := stream.read(CHUNK):
                    yield piece
        except OSError as error:
            raise Unavailable("image_source_unreachable", f"{self.name}: {error.strerror}") from error


class HttpSource:
    """A file of an HTTP server; a broken download is resumed where it broke (RFC 9110, section 14)."""

    pause: Callable[[float], None] = staticmethod(time.sleep)
    """How it waits between tries, seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._validator = ""
        self.name = without_password(url)
        self.size: int | None = None

    def chunks(self) -> Iterator[bytes]:
        """Yield the file in pieces.

        Raises ``NotFound`` (``image_not_found``) on 404 and 410, ``Unavailable`` (``image_source_unreachable``) when the
        server does not answer, answers with an error, or breaks off ``TRIES`` times in a row.
        """
        import requests

        done = failures = 0
        while True:
            before = done
            try:
                for piece in self._try(done):
                    done += len(piece)
                    yield piece
                if self.size is None or done == self.size:
                    return
                reason = f"the connection ended after {done} of {self.size} bytes"
            except requests.RequestException as error:
                reason = _plain_reason(error)
            if done and not self._validator:
                raise self._unreachable(f"{reason}, and the server gives no means to resume")
            failures = 1 if done > before else failures + 1
            if failures == TRIES:
                raise self._unreachable(f"{reason} ({TRIES} tries, {done} bytes came)")
            self.pause(min(_LONGEST_PAUSE, 2.0 ** (failures - 1)))

    def _try(self, offset: int) -> Iterator[bytes]:
        import requests

        # identity: a server that compresses on the fly would change what the checksum is of.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": self._validator}
        with requests.get(self._url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code in _GONE:
                raise NotFound("image_not_found", f"{self.name}: HTTP {response.status_code}.", "Check the URL.")
            if response.status_code >= 500:
                raise requests.HTTPError(f"HTTP {response.status_code}")
            if response.status_code != (206 if offset else 200):
                raise self._unreachable(
                    "the file on the server has changed" if response.status_code == 200 else f"HTTP {response.status_code}"
                )
            if not offset:
                length = response.headers.get("Content-Length", "")
                self.size = int(length) if length.isdigit() else None
                etag = response.headers.get("ETag", "")
                strong = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
                self._validator = strong if response.headers.get("Accept-Ranges") == "bytes" else ""
            yield from response.iter_content(CHUNK)

    def _unreachable(self, reason: str) -> Unavailable:
        return Unavailable("image_source_unreachable", f"{self.name}: {reason}", "See that the server is up, then import again.")


def without_password(url: str) -> str:
    """Return ``url`` without user, password and query: fit for logs and messages."""
    split = urlsplit(url)
    host = split.netloc.rpartition("@")[2]
    return urlunsplit((split.scheme, host, split.path, "", ""))


def _plain_reason(error: requests.RequestException) -> str:
    """The innermost error says what happened; the layers around it say which library noticed."""
    inner: BaseException = error
    while inner.__context__ is not None or inner.__cause__ is not None:
        inner = inner.__cause__ or inner.__context__ or inner
    return str(inner) or type(error).__name__
