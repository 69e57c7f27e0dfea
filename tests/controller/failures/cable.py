# SPDX-License-Identifier: GPL-3.0-or-later
"""The cable between a machine and its controller: passes every byte on, until it is told to do something else to images."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading

_PIECE = 1 << 16


class Cable:
    """Listens on ``port`` of the loopback and passes connections on to ``target``. Faults concern what is below /files/ only."""

    def __init__(self) -> None:
        self.target = 0
        self.damage_at: int | None = None
        """A byte of the answer with the image that arrives as another one."""
        self.breaks_at: int | None = None
        """Where the connection with the image breaks off; none is made again from then on."""
        self.hangs_at: int | None = None
        """Where the image stops coming, for as long as this is set."""
        self.hanging = threading.Event()
        """Set when an image has stopped coming."""
        self._released = threading.Event()
        cable = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    cable._pass(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Connection)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.mend()
        self._server.shutdown()
        self._server.server_close()

    def mend(self) -> None:
        """Pass everything on again, what hangs as well."""
        self.damage_at = self.breaks_at = self.hangs_at = None
        self._released.set()
        self._released = threading.Event()
        self.hanging.clear()

    def _pass(self, machine: socket.socket) -> None:
        asked = machine.recv(_PIECE)
        image = asked.startswith(b"GET /files/")
        if image and self.breaks_at == 0:
            return
        with socket.create_connection(("127.0.0.1", self.target), timeout=30) as controller:
            controller.settimeout(None)
            controller.sendall(asked)
            threading.Thread(target=_pump, args=(machine, controller), daemon=True).start()
            done = 0
            while piece := controller.recv(_PIECE):
                if image:
                    piece = self._spoil(piece, done)
                machine.sendall(piece)
                done += len(piece)
                if image and self.breaks_at is not None and done >= self.breaks_at:
                    self.breaks_at = 0
                    break
            with contextlib.suppress(OSError):
                machine.shutdown(socket.SHUT_RDWR)

    def _spoil(self, piece: bytes, done: int) -> bytes:
        if self.hangs_at is not None and done >= self.hangs_at:
            released = self._released
            self.hanging.set()
            released.wait()
        at = self.damage_at
        if at is not None and done <= at < done + len(piece):
            self.damage_at = None
            return piece[: at - done] + bytes([piece[at - done] ^ 0x10]) + piece[at - done + 1 :]
        return piece


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
