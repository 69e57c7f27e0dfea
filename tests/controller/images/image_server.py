# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP server of images that fails as it is told to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does with one file. ``break_at``: bytes after which each of the next connections is cut."""

    content: bytes
    break_at: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    etag: str = '"one"'
    asked: list[str | None] = field(default_factory=list)


class Server:
    """An HTTP server on the loopback."""

    def __init__(self) -> None:
        self.files: dict[str, Behaviour] = {}
        files = self.files

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                behaviour = files[self.path]
                begin = self.headers.get("Range")
                behaviour.asked.append(begin)
                offset = int(begin.removeprefix("bytes=").rstrip("-")) if begin and behaviour.ranges else 0
                if offset and self.headers.get("If-Range") != behaviour.etag:
                    offset = 0
                status = behaviour.status if behaviour.status != 200 else 206 if offset else 200
                body = behaviour.content[offset:] if status < 300 else b"no"
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", behaviour.etag)
                if behaviour.ranges:
                    self.send_header("Accept-Ranges", "bytes")
                self.end_headers()
                if behaviour.break_at:
                    body = body[: behaviour.break_at.pop(0)]
                    self.close_connection = True
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def serve(self, name: str, behaviour: Behaviour) -> str:
        """Serve a file; return its URL."""
        self.files[f"/{name}"] = behaviour
        return f"http://127.0.0.1:{self._http.server_address[1]}/{name}"

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
