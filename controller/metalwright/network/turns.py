# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever applies the network on this host takes turns, from reading what it is to be to the end.

Otherwise a state that was read before a change could be written after the one with it, and a machine would boot with an address
that nobody reserved. Nothing is held by who has died.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from metalwright.config import Settings


@contextmanager
def turn(settings: Settings) -> Iterator[None]:
    """Wait for one's turn, among threads and processes, and have it while the block runs."""
    with (settings.data_dir / "network.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
