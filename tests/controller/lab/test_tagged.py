# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's end of a tagged VLAN, against another one across a bridge. Needs root."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

SERVE = """
import socket
connection, _ = socket.create_server(("10.42.0.7", 9)).accept()
print(sum(map(len, iter(lambda: connection.recv(65536), b""))))
"""
SEND = "import socket; socket.create_connection(('10.42.0.7', 9), 20).sendall(b'x' * 3_000_000)"


@pytest.fixture
def inside() -> Iterator[Callable[[str, str, list[str]], subprocess.Popen[str]]]:
    """Two network namespaces, each with a br0 that the other's frames reach; a function that runs Python in one of them."""
    names = {side: f"tagged-{side}-{uuid.uuid4().hex[:6]}" for side in ("one", "other")}
    started: list[subprocess.Popen[str]] = []

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    def run(side: str, *arguments: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", names[side], sys.executable, *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    try:
        for name in names.values():
            ip("netns", "add", name)
        ip("-n", names["one"], "link", "add", "br0", "address", "52:54:00:00:00:01", "type", "bridge", "forward_delay", "0")
        ip("-n", names["one"], "link", "add", "port", "type", "veth", "peer", "name", "br0", "netns", names["other"])
        ip("-n", names["one"], "link", "set", "port", "master", "br0", "up")
        for name in names.values():
            ip("-n", name, "link", "set", "br0", "up")
        yield run
    finally:
        for process in started:
            with process:
                process.kill()
        for name in names.values():
            subprocess.run(["ip", "netns", "del", name], check=False)


def test_frames_cross_the_bridge_with_their_tag(inside: Callable[..., subprocess.Popen[str]]) -> None:
    inside("one", "-m", "metalwright.lab.tagged", "br0", "42", "10.42.0.1/24")
    inside("other", "-m", "metalwright.lab.tagged", "br0", "42", "10.42.0.7/24")
    inside("other", "-m", "metalwright.lab.tagged", "br0", "43", "10.43.0.7/24")
    deadline = time.monotonic() + 30
    while (served := inside("other", "-c", SERVE)).poll() is not None or inside("one", "-c", SEND).wait():
        served.kill()
        assert time.monotonic() < deadline
    assert served.communicate()[0].strip() == "3000000"
