# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd is told, by path and by abstract name, and nobody below us speaks for the service."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from metalwright.serve.notify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_state_reaches_the_socket(tmp_path: Path, abstract: bool) -> None:
    path = f"@metalwright-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": path}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + path[1:] if abstract else path)
        Notifier(environ)("READY=1")
        assert listener.recv(100) == b"READY=1"
    assert environ == {}


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})("READY=1")
    Notifier({})("READY=1")
