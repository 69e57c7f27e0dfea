# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one power call in a short-lived process of its own, with a hard end.

Why a process: pyghmi keeps sockets, sessions and an I/O thread per process, is not safe to use from several threads, and
retries on its own schedule; libvirt may hang for minutes in a TCP or SSH connect that nothing can interrupt. A process can
always be killed and leaves nothing behind; forked where its libraries are loaded (``nursery``) it costs some milliseconds.

The process gets a JSON object on its standard input (credentials are never on a command line) and prints one; see
``calls.conversation``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from metalwright.power.nursery import NURSERY

SHARE = 0.9
"""What the process may take of the timeout, its start included; the rest is for its end, so that it can name the cause itself."""


class CallFailed(Exception):
    """The call ended with an error: ``code`` (see ``PowerError``) and ``reason``, a clause without a full stop."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def call(name: str, request: Mapping[str, Any], timeout: float) -> Any:
    """Run ``metalwright.calls.<name>`` with ``request`` and return its result.

    Raises ``CallFailed`` at the latest after ``timeout`` seconds.
    """
    said = json.dumps({**request, "until": time.monotonic() + timeout * SHARE}).encode()
    ended = NURSERY.run(name, said, timeout)
    try:
        reply = json.loads(ended.output)
    except ValueError:
        if ended.status is None:
            raise CallFailed("bmc_unreachable", f"no answer within {timeout:.0f} s") from None
        complaint = ended.complaint.decode(errors="replace").strip().splitlines()
        raise CallFailed("power_refused", (complaint or [f"the call ended with status {ended.status}"])[-1]) from None
    if "error" in reply:
        raise CallFailed(reply["error"], reply["reason"])
    return reply["result"]
