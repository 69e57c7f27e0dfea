# SPDX-License-Identifier: GPL-3.0-or-later
"""How the supervisor's news reach the event log.

The supervisor writes no database: a writer that holds the lock for long must not keep a dead service from being started again.
It puts a short message into a socket pair that it holds open at both ends; the worker child takes it out and records it. A
message is taken out only after it has been recorded, so a worker that dies meanwhile loses none. One that can never be recorded
is taken out too: it would be in the way of all that come after it.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import structlog

from metalwright.store import Store
from metalwright.store.collisions import passing
from metalwright.store.events import record, storable

log = structlog.get_logger()

_LONGEST = 4096
"""Bytes of a message; 512 characters are 3,072 at most."""
AFTER_TROUBLE = 1.0
"""Seconds until it is tried again to record a message that the database did not take."""


class Reports:
    """A queue of messages between processes that share this object by fork."""

    def __init__(self) -> None:
        self._out, self._in = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._in.setblocking(False)

    def put(self, kind: str, message: str, data: dict[str, Any]) -> None:
        """Leave a message; when a hundred or so wait already, it is only in the log. Data that make it too long are left out."""
        packet = _packed(kind, message, data)
        try:
            self._in.send(packet if len(packet) <= _LONGEST else _packed(kind, message, {}))
        except OSError:
            return

    def close(self) -> None:
        """Let go of both ends."""
        self._out.close()
        self._in.close()

    def pump(self, store: Store) -> None:
        """Record messages as they come, forever."""
        while True:
            packet = self._out.recv(_LONGEST, socket.MSG_PEEK)
            try:
                kind, message, data = json.loads(packet)
                with store.write() as session:
                    record(session, kind, message, data=data)
            except Exception as error:
                again = passing(error) is not None
                log.exception("a report was not recorded", again=again)
                if again:
                    time.sleep(AFTER_TROUBLE)
                    continue
            self._out.recv(_LONGEST)

    def start_pump(self, store: Store) -> None:
        """Run ``pump`` in a thread that ends with the process."""
        threading.Thread(target=self.pump, args=(store,), name="reports", daemon=True).start()


def _packed(kind: str, message: str, data: dict[str, Any]) -> bytes:
    return json.dumps(storable([kind, message[:512], data]), ensure_ascii=False).encode()
