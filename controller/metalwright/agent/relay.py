# SPDX-License-Identifier: GPL-3.0-or-later
"""What the console says, sent to the controller while it can still be sent: a machine that dies tells nothing afterwards."""

from __future__ import annotations

import threading

from .client import Client, NoAnswer
from .console import Console
from .errors import Refused, StepFailed

AT_ONCE = 16 << 10
"""Characters in one call; the rest goes with the next."""


class Relay:
    """Remembers how much of the console the controller has. May be used by several threads."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client = client
        self._console = console
        self._lock = threading.Lock()
        self._offset = 0
        self._refused = False

    def send(self) -> None:
        """Send what is new, in as many calls as it takes. Nothing is said and nothing raised when nobody takes it."""
        with self._lock:
            while not self._refused:
                start, text = self._console.since(self._offset)
                if not text:
                    return
                text = text[:AT_ONCE]
                try:
                    answer = self._client.post_once("console", {"offset": start, "text": text})
                except NoAnswer:
                    return
                except (Refused, StepFailed):
                    self._refused = True
                    return
                following = answer.get("next")
                # The controller may have taken less of it; anything else it says would make this repeat itself.
                self._offset = following if isinstance(following, int) and start < following else start + len(text)
