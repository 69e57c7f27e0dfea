# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one power call in a short-lived process of its own, with a hard end.

Why a process: pyghmi keeps sockets, sessions and an I/O thread per process, is not safe to use from several threads, and
retries on its own schedule; libvirt may hang for minutes in a TCP or SSH connect that nothing can interrupt. A process can
always be killed, leaves nothing behind, and costs about 0.1 s, little beside the seconds a BMC takes.

The process gets a JSON object on its standard input (credentials are never on a command line) and prints one:
``{"result": ...}`` or ``{"error": CODE, "reason": TEXT}`` with a code of ``PowerError``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What the process may take of the timeout: the rest is for its start and end, so that it can name the cause by itself.
SHARE = 0.9


class CallFailed(Exception):
    """The call ended with an error: ``code`` (see ``PowerError``) and ``reason``, a clause without a full stop."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def call(script: Path, request: Mapping[str, Any], timeout: float) -> Any:
    """Run ``script`` with ``request`` and return its result; raise ``CallFailed`` at the latest after ``timeout`` seconds."""
    message = json.dumps({**request, "timeout": timeout * SHARE}).encode()
    # -P: the script's directory must not be searched, it holds a libvirt.py of ours.
    process = subprocess.Popen(
        [sys.executable, "-P", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
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
