# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to a running Kea server over its control socket (Kea's Administrator Reference Manual, "Management API")."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalwright.errors import Unavailable

_PATIENCE = 30.0
"""Seconds: a configuration of 10,000 reservations is read in a fifth of one."""
SUCCESS, ERROR, EMPTY = 0, 1, 3
"""Results of a command; ``EMPTY``: it was carried out and there was nothing to find."""


class Refused(Exception):
    """A command that was not carried out; the server's words."""


def listens(path: Path) -> bool:
    """Whether a server answers on this socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def command(path: Path, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Have a command carried out; answers its ``arguments``, None where there are none or nothing was found.

    Raises ``Refused`` with the server's words, or ``Unavailable`` (``engine_unreachable``).
    """
    request: dict[str, Any] = {"command": name}
    if arguments is not None:
        request["arguments"] = arguments
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect(str(path))
            sock.sendall(json.dumps(request).encode())
            received = b""
            while chunk := sock.recv(1 << 16):
                received += chunk
        answer = json.loads(received)
    except (OSError, ValueError) as error:
        message = f"Kea does not answer on {path.name}: {error}."
        raise Unavailable(
            "engine_unreachable", message, "It is started again by the controller; look at its log.", engine="kea"
        ) from None
    if answer["result"] not in (SUCCESS, EMPTY):
        raise Refused(answer.get("text", f"result {answer['result']}"))
    return answer.get("arguments")
