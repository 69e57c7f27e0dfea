# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person at the machine's console reads, and the end of it for the controller."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import TextIO

TAIL_LINES = 60
TAIL_CHARACTERS = 8000
KEPT_CHARACTERS = 64 << 10


class Console:
    """Prints lines like ``[  12.3s] write: 43 % of 512 MiB, 60 MB/s``; the time counts from the kernel's start."""

    def __init__(self, stream: TextIO | None = None, secret: str = "") -> None:
        """``secret`` (the operation's token) is never printed nor sent: it is replaced by ``***``."""
        self._stream = stream or sys.stdout
        self._secret = secret
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._lock = threading.Lock()
        self._kept = ""
        self._said = 0

    def say(self, text: str) -> None:
        """Print one line. Characters that could steer a terminal are replaced: some of the text comes from elsewhere."""
        line = f"[{time.monotonic():7.1f}s] {self.clean(text)}"
        with self._lock:
            self._lines.append(line)
            self._kept = f"{self._kept}{line}\n"[-KEPT_CHARACTERS:]
            self._said += len(line) + 1
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except OSError:  # a serial line that is gone is no reason to stop an installation
                return

    def clean(self, text: str) -> str:
        """Return ``text`` on one line, printable, without the secret."""
        if self._secret:
            text = text.replace(self._secret, "***")
        return "".join(character if character.isprintable() else " " for character in text)

    def tail(self) -> str:
        """Return the last lines, at most ``TAIL_CHARACTERS`` of them."""
        with self._lock:
            return "\n".join(self._lines)[-TAIL_CHARACTERS:]

    def since(self, offset: int) -> tuple[int, str]:
        """Return all that was said from character ``offset`` on, as (offset, text).

        The offset returned is a later one where ``KEPT_CHARACTERS`` were not enough, and the end's where nothing was said since.
        """
        with self._lock:
            start = min(max(offset, self._said - len(self._kept)), self._said)
            return start, self._kept[len(self._kept) - (self._said - start) :]
