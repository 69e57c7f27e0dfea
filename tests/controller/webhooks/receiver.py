# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HTTP server that takes webhooks, and checks signatures by code of its own (OpenSSL's command, not ours)."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SECRET = "a secret of some length"


@dataclass
class Delivery:
    """One POST as it arrived, whatever was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> int:
        return int(self.headers["Metalwright-Event-Id"])


def signed_by(delivery: Delivery, secret: str, directory: Path) -> bool:
    """Whether the signature is what ``openssl dgst`` makes of the time and the body."""
    parts = dict(part.split("=", 1) for part in delivery.headers["Metalwright-Signature"].split(","))
    signed = directory / "signed"
    signed.write_bytes(parts["t"].encode() + b"." + delivery.body)
    command = ["openssl", "dgst", "-sha256", "-hmac", secret, "-hex", str(signed)]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return said.split("= ")[1].strip() == parts["v1"]


class Receiver:
    """Keeps what it is sent. ``answer`` says with which status; ``before`` runs while the sender waits."""

    def __init__(self, port: int = 0) -> None:
        self.deliveries: list[Delivery] = []
        self.answer: Callable[[int], int] = lambda _id: 200
        self.before: Callable[[int], None] = lambda _id: None
        self.location = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = int(self.headers["Metalwright-Event-Id"])
                outer.before(event)
                status = outer.answer(event)
                outer.deliveries.append(Delivery(self.path, dict(self.headers), body, status))
                self.send_response(status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                return  # a sender that hung up

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?from=metalwright"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def taken(self) -> list[int]:
        """The ids of the events that were answered well, in the order they came."""
        return [delivery.id for delivery in self.deliveries if delivery.status == 200]

    def wait_for(self, count: int, seconds: float = 30.0) -> None:
        """Until so many were taken."""
        ends = time.monotonic() + seconds
        while len(self.taken) < count:
            assert time.monotonic() < ends, f"{len(self.taken)} of {count} came"
            time.sleep(0.01)

    def stop(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.server.server_close()
