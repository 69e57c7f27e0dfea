# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH server on the loopback that stands for a machine: dropbear, with a host key and one key that it lets in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "serve"))
from processes import until

NAP = 40_000 + os.getpid()
"""Seconds that processes of playbooks sleep: by that number those of this run of the tests are known."""


class SshMachine:
    """``key``: the private key that it lets in, its public half beside it; ``host_key``: a line without a name."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self.key = directory / "key"
        self._home = directory / "home"
        host_key = directory / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "controller", "-f", str(self.key)], check=True)
        made = subprocess.run(["dropbearkey", "-t", "ed25519", "-f", str(host_key)], check=True, capture_output=True, text=True)
        line = next(line for line in made.stdout.splitlines() if line.startswith("ssh-ed25519"))
        self.host_key = " ".join(line.split()[:2])
        (self._home / ".ssh").mkdir(mode=0o700, parents=True)
        self._home.chmod(0o700)
        (self._home / ".ssh/authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        # The server asks the system where root's home is, so it sees another in its place, it alone.
        serve = (
            f"mount --bind {self._home} ~root && exec dropbear -F -E -s -r {host_key} -p 127.0.0.1:{port} -P {directory / 'pid'}"
        )
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(["unshare", "--mount", "sh", "-c", serve], stderr=self._log)

    def __enter__(self) -> SshMachine:
        until(self._answers, "the SSH server listens")
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False
