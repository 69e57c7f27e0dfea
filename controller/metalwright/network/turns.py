# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever applies the network on this host takes turns, from reading what it is to be to the end.

Otherwise a state that was read before a change could be written after the one with it, and a machine would boot with an address
that nobody reserved. Nothing is held by who has died.

Whoever is done may sign the turn, and the next one wipes the signature: so one sees whether anybody had a turn since.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metalwright.config import Settings


@contextmanager
def turn(settings: Settings) -> Iterator[Callable[[], str]]:
    """Wait for one's turn, among threads and processes, and have it while the block runs. What it is given signs the turn."""
    with _path(settings).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate()  # whoever had it before may have signed since this was opened

        def sign() -> str:
            signature = secrets.token_hex(16)
            lock.write(signature)
            lock.flush()
            return signature

        yield sign


def last_turn(settings: Settings) -> str:
    """The signature of the last turn; empty where that was not signed, or somebody waits for the next."""
    try:
        return _path(settings).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def _path(settings: Settings) -> Path:
    return settings.data_dir / "network.lock"
