# SPDX-License-Identifier: GPL-3.0-or-later
"""What the TFTP service sees, on its way to the worker, which counts it and writes it into the event log.

The TFTP service has one thread and no database. A second thread in it that worked on the database would hold Python's lock for
5 ms at a time, once for each packet that is received and each that is sent: a thousand machines that have fetched a loader would
stop the thousand that are about to.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

from metalwright.network.tftp import TftpEvent
from metalwright.serve.sightings import Sighting, Sightings
from metalwright.serve.tallying import Tallying
from metalwright.store import Store, tallies

_ROOM = 1 << 20
"""Bytes of the pipe, about 4,000 notes; without privileges it is what the kernel allows a user (pipe(7))."""


class LoaderNotes:
    """A pipe between processes that share this object by fork; a note is one line, short enough to be written in one piece."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)
        with suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _ROOM)

    def put(self, event: TftpEvent) -> None:
        """Leave a note; never waits. When there is no room, it is only in the log."""
        with suppress(BlockingIOError):
            os.write(self._in, json.dumps({**asdict(event), "at": time.time()}).encode() + b"\n")

    def close(self) -> None:
        """Let go of both ends."""
        os.close(self._out)
        os.close(self._in)

    def pump(self, tallying: Tallying, sightings: Sightings) -> None:
        """Count and record the notes as they come, forever. What a worker has read when it is killed is lost."""
        for event, at in self._notes():
            tallying.count(tallies.key("tftp_requests", outcome=event.kind))
            tallying.count(tallies.key("tftp_bytes"), event.bytes)
            if event.kind == "complete":
                told = {"client": event.client, "filename": event.filename, "bytes": event.bytes}
                message = f"fetched {event.filename} by TFTP"
                sightings.keep(at, Sighting("boot.loader", "boot.loader", message, told, address=event.client))

    def start_pump(self, store: Store) -> None:
        """Run ``pump`` in a thread that ends with the process."""
        tallying = Tallying(store)
        tallying.start()
        threading.Thread(target=self.pump, args=(tallying, Sightings(store)), name="loader-notes", daemon=True).start()

    def _notes(self) -> Iterator[tuple[TftpEvent, datetime]]:
        with open(self._out, "rb", closefd=False) as lines:
            for line in lines:
                try:
                    note = json.loads(line)
                except ValueError:  # the rest of a line that a killed worker had begun to read
                    continue
                at = datetime.fromtimestamp(note.pop("at"), UTC)
                yield TftpEvent(**note), at
