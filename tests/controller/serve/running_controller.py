# SPDX-License-Identifier: GPL-3.0-or-later
"""A real controller on free ports of the loopback, with a data directory of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from processes import until

METALWRIGHT = str(Path(sys.executable).with_name("metalwright"))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningController:
    """Made by ``metalwright init``; ``start`` and ``stop`` run ``metalwright serve``, ``cli`` any other command.

    ``prefix`` is put before every command, for example to run it in a network namespace.
    """

    def __init__(self, directory: Path, more: str = "", *, prefix: Sequence[str] = (), node_url: str = "") -> None:
        self.prefix = list(prefix)
        self.directory = directory
        self.config = directory / "metalwright.toml"
        self.data = directory / "data"
        self.admin_port, self.node_port, self.tftp_port = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        self.url = f"http://127.0.0.1:{self.admin_port}"
        self.node_url = f"http://127.0.0.1:{self.node_port}"
        kept = ("METALWRIGHT_SECRET_KEY_FILE",)  # so that a test can read and write in the controller's database
        ours = {name: value for name, value in os.environ.items() if name in kept or not name.startswith("METALWRIGHT_")}
        self.environ = {**ours, "HOME": str(directory), "XDG_CONFIG_HOME": str(directory / "xdg"), "PYTHONWARNINGS": "error"}
        self.process: subprocess.Popen[bytes] | None = None
        made = self.cli(
            *("init", "--config", str(self.config), "--data-dir", str(self.data)),
            *("--admin-listen", f"127.0.0.1:{self.admin_port}", "--node-listen", f"127.0.0.1:{self.node_port}"),
            *(("--node-url", node_url) if node_url else ()),
        )
        assert made.returncode == 0, made.stderr
        self.init_said = made.stdout
        with self.config.open("a") as config:
            config.write(f'[tftp]\nlisten = "127.0.0.1:{self.tftp_port}"\n{more}')

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Run ``metalwright serve``; comes back when the API answers."""
        self.start_with([])
        until(self.answers, "the first answer of the API")

    def start_with(self, prefix: Sequence[str], *, environ: Mapping[str, str] | None = None, **popen: Any) -> None:
        """Run ``metalwright serve`` by way of another command, and wait for nothing."""
        command = [*self.prefix, *prefix, METALWRIGHT, "serve", "--config", str(self.config)]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, env={**self.environ, **(environ or {})}, **popen)

    def answers(self) -> bool:
        """True when the API says that it is well."""
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def cli(self, *arguments: str, environ: Mapping[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of ours against it."""
        command = [*self.prefix, METALWRIGHT, *arguments]
        return subprocess.run(
            command, env={**self.environ, **(environ or {})}, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more
        )

    def json(self, *arguments: str) -> Any:
        """What a command prints with ``--json``."""
        done = self.cli(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
