# SPDX-License-Identifier: GPL-3.0-or-later
"""Files at the speed of the network: the kernel sends them (sendfile), whole or from where a broken download stopped.

gunicorn sends a response with ``sendfile(2)`` when it is ``wsgi.file_wrapper`` around a real file: from the file's position,
as many bytes as ``Content-Length`` says. werkzeug's own ranges wrap the file once more, which sends it through Python instead;
so ranges (RFC 9110, section 14) are worked out here.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any, BinaryIO

from flask import Blueprint, Response, request
from werkzeug.http import http_date, parse_etags

from metalwright.errors import NotFound, Unavailable
from metalwright.images.importer import stored_path
from metalwright.lifecycle import tokens
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.node.plane import Plane

_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*")
_TYPES = {".efi": "application/efi"}
_BLOCK = 1 << 20
_GONE_AFTER = 120
"""Seconds after which a peer that was turned off in mid-download no longer holds a thread. Long enough for a slow disk: while
the agent can not take more, its closed window counts as silence too (tcp(7), TCP_USER_TIMEOUT)."""


def routes(plane: Plane) -> Blueprint:
    """``/files/<token>/image``: the image of the operation, as long as it may be written."""
    room = Blueprint("files", __name__, url_prefix="/files")

    @room.get("/<token>/image")
    def image(token: str) -> Response:
        with plane.store.session() as session:
            operation = tokens.look(session, token, plane.clock, "kind", "phase", "parameters")
            phase = OPERATIONS[operation.kind].phase(operation.phase or "")
            if operation.kind != "deploy" or not (phase.agent or phase.name == "boot"):
                raise NotFound("not_found", "There is nothing here.")
        name, content = operation.parameters["image"], operation.parameters["content_sha256"]
        path = stored_path(plane.settings.images_dir, content)
        if not path.is_file():
            raise Unavailable("image_file_missing", f"The file of image {name} is missing.", "Import the image again.")
        return send(path, etag=content)

    return room


def send(path: Path, etag: str | None = None) -> Response:
    """Answer the current request (GET or HEAD) with a file: 200, 206, 304 or 416. Raises ``NotFound`` when there is none."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
        except OSError:
            raise NotFound("not_found", "There is nothing here.") from None
        status = os.fstat(file.fileno())
        tag = etag or _digest(path, status.st_size, status.st_mtime_ns)
        kind = _TYPES.get(path.suffix, "application/octet-stream")
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{tag}"', "Last-Modified": http_date(status.st_mtime)}
        if parse_etags(request.headers.get("If-None-Match")).contains_weak(tag):
            return Response(status=304, headers=headers)
        span = (
            _span(request.headers.get("Range"), status.st_size) if _may_be_partial(tag) else Span(0, status.st_size, whole=True)
        )
        if span is None:
            return Response(status=416, headers={**headers, "Content-Range": f"bytes */{status.st_size}"}, mimetype=kind)
        headers["Content-Length"] = str(span.length)
        if not span.whole:
            headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{status.st_size}"
        if request.method == "HEAD":
            return Response(headers=headers, mimetype=kind)
        file.seek(span.start)
        stack.pop_all()  # who sends the body closes the file
    code = 200 if span.whole else 206
    return Response(_body(file, span.length), code, headers=headers, mimetype=kind, direct_passthrough=True)


@dataclass(frozen=True)
class Span:
    """The part of a file that is sent."""

    start: int
    length: int
    whole: bool = False


def _may_be_partial(tag: str) -> bool:
    """A range is for GET only, and only of the content that ``If-Range`` names (RFC 9110, 13.1.5 and 14.2)."""
    condition = request.headers.get("If-Range")
    return request.method == "GET" and (condition is None or condition.strip() == f'"{tag}"')


def _span(header: str | None, size: int) -> Span | None:
    """The part that a ``Range`` header asks for; None when the file has no such part.

    More than one range, another unit or nonsense: the whole file, as RFC 9110, 14.2 allows.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return Span(0, size, whole=True)
    first, last = match.groups()
    if first == "":
        length = min(int(last), size)
        return Span(size - length, length) if length else None
    if last and int(last) < int(first):
        return Span(0, size, whole=True)
    end = min(int(last), size - 1) if last else size - 1
    return Span(int(first), end - int(first) + 1) if int(first) < size else None


def _body(file: BinaryIO, length: int) -> Any:
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER * 1000)
    wrapper = request.environ.get("wsgi.file_wrapper")
    return wrapper(file, _BLOCK) if wrapper else _blocks(file, length)


def _blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    with file:
        while length > 0 and (block := file.read(min(_BLOCK, length))):
            length -= len(block)
            yield block


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: int) -> str:
    """SHA-256 of a file, worked out once for each content."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
