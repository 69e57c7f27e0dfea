# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of the agent's conversation: a real HTTP server that answers as it is told and keeps what was said."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "0123456789012345678901234567890123456789abc"
Answer = tuple[int, Any]


class ControllerSide:
    """``said`` is every POST as (path below the token, body); ``answers`` holds what to answer to the next ones by path."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, list[Answer]] = {}
        self.defaults: dict[str, Answer] = {
            "progress": (200, {"continue": True}),
            "step": (200, {"continue": True}),
            "inventory": (200, {"continue": True}),
            "console": (200, {}),
            "scripts": (200, {"runs": []}),
        }
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        """The Range header of every request for the image."""
        self.breaks: list[int] = []
        """Bytes after which the next answers with the image break off."""
        self.ignores_ranges = False
        self.gone = threading.Event()
        """Set: the image is answered by 503."""
        self.on_image: Callable[[], None] | None = None
        self.on: dict[str, Callable[[], object]] = {}
        """What happens before a POST to a path is answered."""
        side = self

        class Handler(_Handler):
            controller = side

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.address}/agent/{TOKEN}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def calls(self, path: str) -> list[dict[str, Any]]:
        return [body for said, body in self.said if said == path]

    def answer(self, path: str) -> Answer:
        waiting = self.answers.get(path)
        return waiting.pop(0) if waiting else self.defaults[path]


class _Handler(BaseHTTPRequestHandler):
    controller: ControllerSide
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.removeprefix(f"/agent/{TOKEN}/")
        self.controller.said.append((name, body))
        self.controller.on.get(name, lambda: None)()
        self._send(*self.controller.answer(name))

    def do_GET(self) -> None:
        content = self.controller.files.get(self.path)
        if content is None:
            self._send(404, {"code": "not_found", "message": "There is nothing here."})
        elif self.path.endswith("/image"):
            self._image(content)
        else:
            self._send(200, content)

    def _image(self, content: bytes) -> None:
        side = self.controller
        wanted = self.headers.get("Range")
        side.ranges.append(wanted)
        if side.on_image:
            side.on_image()
        if side.gone.is_set():
            self._send(503, {"code": "unavailable", "message": "Not now."})
            return
        found = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        start = int(found[1]) if found and not side.ignores_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.close_connection = True
        end = start + side.breaks.pop(0) if side.breaks else len(content)
        with suppress(ConnectionError):  # an agent that stops does not read to the end
            self.wfile.write(content[start:end])

    def _send(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
