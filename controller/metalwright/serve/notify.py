# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells systemd how the service is: ``sd_notify(3)``."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping


class Notifier:
    """Sends state lines such as ``READY=1`` to the socket that NOTIFY_SOCKET names; does nothing when there is none.

    The variable is removed, so that no child speaks for the service.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._path = environ.pop("NOTIFY_SOCKET", "")

    def __call__(self, state: str) -> None:
        """Send one or more lines of state; a listener that is gone is no error."""
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(state.encode(), address)
            except OSError:
                return
