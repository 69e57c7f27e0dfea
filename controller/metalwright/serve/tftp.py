# SPDX-License-Identifier: GPL-3.0-or-later
"""The TFTP child: boot loaders, and a note of who fetched one."""

from __future__ import annotations

import signal
import socket
import sys
from typing import Any

import structlog

from metalwright.config import Settings
from metalwright.network import tftp
from metalwright.serve.sightings import Sighting, Sightings
from metalwright.serve.tallying import Tallying
from metalwright.store import Store, tallies

log = structlog.get_logger()


def run(settings: Settings, store: Store, listener: socket.socket) -> None:
    """Serve boot loaders until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    sightings = Sightings(store)
    sightings.start()
    tallying = Tallying(store)
    tallying.start()

    def seen(event: tftp.TftpEvent) -> None:
        tallying.count(tallies.key("tftp_requests", outcome=event.kind))
        tallying.count(tallies.key("tftp_bytes"), event.bytes)
        told: dict[str, Any] = {"client": event.client, "filename": event.filename, "bytes": event.bytes}
        if event.kind == "complete":
            message = f"fetched {event.filename} by TFTP"
            sightings.put(Sighting("boot.loader", "boot.loader", message, told, address=event.client))
        if event.kind in ("failed", "refused", "malformed"):
            log.warning("TFTP request", outcome=event.kind, why=event.message, **told)
        else:
            log.info("TFTP transfer", outcome=event.kind, seconds=round(event.seconds, 3), **told)

    root = settings.boot_dir / "loaders"
    root.mkdir(parents=True, exist_ok=True)
    tftp.serve(listener, root, max_transfers=settings.tftp.max_transfers, on_event=seen)
