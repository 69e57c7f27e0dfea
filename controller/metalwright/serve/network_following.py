# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows changes of the network that another controller's worker carries out.

A task of the outbox is carried out by one worker, which may be on another host that serves the wire, or on one that serves none;
and an engine is told on its own host. So the engine's host looks which tasks there are, and applies what those were made for that
are new.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import select

from metalwright.errors import MetalwrightError, Unavailable
from metalwright.lifecycle.network_effects import APPLY
from metalwright.store import Store
from metalwright.store.models import Task

log = structlog.get_logger()

POLL = 0.5
"""Seconds between two looks. A machine that was just turned on needs longer for its first packet."""
NEWEST = 1000
"""Tasks that are compared. A number is taken before its transaction commits, so a lower one may appear after a higher one."""
_KINDS = (APPLY, "power.netboot")


class NetworkFollowing:
    """Calls ``apply``, which reads the state of the network, when there is a new task that was made for a change of it."""

    def __init__(self, store: Store, apply: Callable[[], None]) -> None:
        self._store = store
        self._apply = apply
        self._seen: Sequence[int] | None = None

    def start(self) -> None:
        """Look again and again, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="network", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("changes of the network were not followed")  # looked for again: nothing is marked as seen
            time.sleep(POLL)

    def look(self) -> None:
        """Apply what is new. What the engine refuses is left to the next change, what it could not be told is tried again."""
        with self._store.session() as session:
            newest = session.scalars(select(Task.id).where(Task.kind.in_(_KINDS)).order_by(Task.id.desc()).limit(NEWEST)).all()
        if newest == self._seen:
            return
        try:
            self._apply()
        except Unavailable as error:
            log.warning("the network was not changed here", reason=error.message)
            return
        except MetalwrightError as error:
            log.error("the network was not changed here", reason=error.message, hint=error.hint)
        self._seen = newest
