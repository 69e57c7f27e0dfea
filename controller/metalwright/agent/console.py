# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person at the machine's console reads, and the last lines of it for the controller."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TextIO

TAIL_LINES = 60
TAIL_CHARACTERS = 8000


class Console:
    """Prints lines like ``[  12.3s] write: 43 % of 512 MiB, 60 MB/s``; the time counts from the kernel's start."""

    def __init__(self, stream: TextIO | None = None, secret: str = "") -> None:
        """``secret`` (the operation's token) is never printed nor sent: it is replaced by ``***``."""
        self._stream = stream or sys.stdout
        self._secret = secret
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def say(self, text: str) -> None:
        """Print one line. Characters that could steer a terminal are replaced: some of the text comes from elsewhere."""
        line = f"[{time.monotonic():7.1f}s] {self.clean(text)}"
        self._lines.append(line)
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
        return "\n".join(self._lines)[-TAIL_CHARACTERS:]
