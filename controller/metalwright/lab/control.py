# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack daemon's control socket: one JSON object a line, one question a connection.

Question ``{"call": NAME, ...arguments}``; answer ``{"result": ...}`` or ``{"error": {code, message, hint}}``. The socket lies
in the lab's directory, which only its owner may enter; that is its whole protection.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metalwright.errors import MetalwrightError, Unavailable

Calls = Mapping[str, Callable[..., Any]]

PATIENCE = 10.0


def ask(path: Path, call: str, **arguments: Any) -> Any:
    """Ask the daemon and return its answer.

    Raises ``Unavailable("rack_down")`` when no daemon answers, or the error that the daemon answered with.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            connection.sendall(json.dumps({"call": call, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError) as error:
        raise Unavailable(
            "rack_down", f"The rack daemon at {path} does not answer: {error}", "'metalwright lab up' starts it."
        ) from None
    if "error" in answer:
        raise MetalwrightError(**answer["error"])
    return answer["result"]


def serve(path: Path, calls: Calls) -> socketserver.BaseServer:
    """Answer questions in threads of their own until ``shutdown`` is called on what is returned."""

    class Conversation(socketserver.StreamRequestHandler):
        timeout = PATIENCE

        def handle(self) -> None:
            line = self.rfile.readline()
            if line:
                self.wfile.write(json.dumps(_answer(calls, line)).encode() + b"\n")

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 64

    path.unlink(missing_ok=True)
    server = Server(str(path), Conversation)
    path.chmod(0o600)
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()
    return server


def _answer(calls: Calls, line: bytes) -> dict[str, Any]:
    try:
        arguments = json.loads(line)
        return {"result": calls[arguments.pop("call")](**arguments)}
    except MetalwrightError as error:
        return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    except Exception as error:  # noqa: BLE001 - the daemon outlives every question
        return {"error": {"code": "rack_error", "message": f"{type(error).__name__}: {error}", "hint": "See log/rack.log."}}
