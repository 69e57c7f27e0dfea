# SPDX-License-Identifier: GPL-3.0-or-later
"""The package cache beside the controller: a real apt-cacher-ng, which fetches from a real server and keeps what it has."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from processes import children, name, until
from running_controller import RunningController, free_port

from metalwright.config import Settings

LOW = 20_000
"""Ports below those that the kernel gives away; apt-cacher-ng can use none above 32767, neither its own nor a mirror's."""
PACKAGE = b"!<arch>\ndebian-binary   "


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A server with one package, until it is closed."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "tree_1.0_amd64.deb").write_bytes(PACKAGE)
    server = ThreadingHTTPServer(
        ("127.0.0.1", free_port() % 5_000 + LOW), partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.server_close()


def test_packages_are_fetched_once_and_kept(tmp_path: Path, mirror: ThreadingHTTPServer) -> None:
    port = free_port() % 5_000 + LOW + 5_000
    controller = RunningController(tmp_path, f'[package_cache]\nlisten = "127.0.0.1:{port}"\n')
    address = f"http://127.0.0.1:{mirror.server_port}/tree_1.0_amd64.deb"

    def fetched() -> bool:
        session = requests.Session()
        session.trust_env = False
        try:
            return session.get(address, proxies={"http": f"http://127.0.0.1:{port}"}, timeout=10).content == PACKAGE
        except requests.ConnectionError:
            return False

    def cache() -> int | None:
        return next((pid for pid in children(controller.pid) if name(pid) == "apt-cacher-ng"), None)

    controller.start()
    try:
        until(fetched, "the package is fetched")
        mirror.shutdown()
        mirror.server_close()
        killed = until(cache, "the cache runs")
        os.kill(killed, signal.SIGKILL)
        until(lambda: cache() not in (None, killed), "the cache runs again")
        until(fetched, "the package comes from the cache")
        assert controller.json("event", "list", "--kind", "service.restarted")[0]["data"]["service"] == "packages"
    finally:
        controller.stop()


@pytest.mark.parametrize(
    ("settings", "proxy"),
    [
        ({}, ""),
        ({"package_cache": {"listen": "10.0.0.1:3142"}}, "http://10.0.0.1:3142"),
        ({"package_cache": {"listen": "0.0.0.0:3142"}, "node": {"url": "http://10.0.0.1:5248"}}, "http://10.0.0.1:3142"),
        ({"package_cache": {"listen": "10.0.0.1:3142", "url": "http://proxy:8080"}}, "http://proxy:8080"),
    ],
)
def test_machines_are_told_the_proxy_that_they_can_reach(settings: dict[str, dict[str, str]], proxy: str) -> None:
    assert Settings.model_validate(settings).package_proxy == proxy
