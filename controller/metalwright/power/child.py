# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one power call in a short-lived process of its own, with a hard end.

Why a process: pyghmi keeps sockets, sessions and an I/O thread per process, is not safe to use from several threads, and
retries on its own schedule; libvirt may hang for minutes in a TCP or SSH connect that nothing can interrupt. A process can
always be killed, leaves nothing behind, and costs about 0.1 s, little beside the seconds a BMC takes.

The process gets a JSON object on its standard input (credentials are never on a command line) and prints one; see
``calls.conversation``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

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
    message = json.dumps({**request, "until": time.monotonic() + timeout * SHARE}).encode()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", f"metalwright.calls.{name}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=_without_proxies(os.environ),
    )
    with process:
        try:
            output, complaint = process.communicate(message, timeout)
        except subprocess.TimeoutExpired:
            raise CallFailed("bmc_unreachable", f"no answer within {timeout:.0f} s") from None
        finally:
            if process.returncode is None:
                # The whole session goes, an ssh started by libvirt too.
                os.killpg(process.pid, signal.SIGKILL)
    try:
        reply = json.loads(output)
    except ValueError:
        said = complaint.decode(errors="replace").strip().splitlines() or [f"the call ended with status {process.returncode}"]
        raise CallFailed("power_refused", said[-1]) from None
    if "error" in reply:
        raise CallFailed(reply["error"], reply["reason"])
    return reply["result"]


def _without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """BMCs are reached directly, whatever the host uses for the world outside."""
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
