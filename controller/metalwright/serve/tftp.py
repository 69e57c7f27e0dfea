# SPDX-License-Identifier: GPL-3.0-or-later
"""The TFTP child: boot loaders, and a note of each request for the worker."""

from __future__ import annotations

import signal
import socket
import sys

import structlog

from metalwright.config import Settings
from metalwright.network import tftp
from metalwright.serve.loader_notes import LoaderNotes

log = structlog.get_logger()


def run(settings: Settings, listener: socket.socket, notes: LoaderNotes) -> None:
    """Serve boot loaders until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))

    def seen(event: tftp.TftpEvent) -> None:
        notes.put(event)
        told = {"client": event.client, "filename": event.filename, "bytes": event.bytes, "outcome": event.kind}
        if event.kind in ("failed", "refused", "malformed"):
            log.warning("TFTP request", why=event.message, **told)
        else:
            log.info("TFTP transfer", seconds=round(event.seconds, 3), **told)

    root = settings.boot_dir / "loaders"
    root.mkdir(parents=True, exist_ok=True)
    tftp.serve(listener, root, max_transfers=settings.tftp.max_transfers, on_event=seen)
