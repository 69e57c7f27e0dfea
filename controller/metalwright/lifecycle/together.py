# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is the same for everybody who asks: done once for all who ask before it is begun, and never twice at once."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Together:
    """``work`` is done for a caller by the first run that begins after the call; what that run raises goes to who ran it.

    A thousand machines that are turned on at once all want DHCP to know what the database says.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._running = threading.Lock()
        self._begun = 0
        self._done = 0
        """Number of the last run that ended well."""

    def __call__(self) -> None:
        """Return when a run that began after this call has ended well; raises what ``work`` raises."""
        wanted = self._begun + 1
        with self._running:
            if self._done >= wanted:
                return
            self._begun += 1
            self._work()
            self._done = self._begun
