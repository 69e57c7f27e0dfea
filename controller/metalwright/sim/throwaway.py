# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that is made for one run and thrown away: its own directory and database, and stand-ins for what machines load.

Machines of the simulator only read and hash what they are given, so agent, loaders and image are random bytes that begin with
a line that says so.
"""

from __future__ import annotations

import copy
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from metalwright.cli.client import Access
from metalwright.errors import Unavailable
from metalwright.sim import cabling
from metalwright.sim.cabling import Cabling

IMAGE = "sim/stand-in"
_BUILD = "51a2d1250fa8e57e"
_MIB = 1 << 20
_SAYS = b"This is a stand-in of metalwright sim and boots nothing.\n"
_EFI_SYSTEM = 0xEF
"""A partition type of the MBR (UEFI 2.10, section 5.2.2)."""
_PATIENCE = 60.0


class Throwaway:
    """``settings`` is TOML added to its configuration; ``METALWRIGHT_SECTION__NAME`` of the environment hold as ever."""

    def __init__(
        self,
        cabling: Cabling | None,
        settings: str = "",
        *,
        sizes_mib: tuple[int, int, int] = (1, 4, 8),
        within: Path | None = None,
        node_url: str = "",
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``sizes_mib`` are those of the stand-ins for the agent's kernel and root and for the image.

        Its directory is made ``within`` another, ``environ`` is added to its environment. ``node_url``: where machines reach it,
        if something stands between.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="metalwright-sim-", dir=within))
        self._config = self.directory / "metalwright.toml"
        self._cabling = cabling
        self._more = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self.node_url = node_url
        try:
            self._make(settings, sizes_mib)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    @property
    def pid(self) -> int | None:
        """Of its supervisor."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Run it; returns when it answers. Raises ``Unavailable`` (``controller_failed``) with the end of its log."""
        inside = self._cabling.inside() if self._cabling else []
        with (self.directory / "log").open("ab") as log:
            command = ["setpriv", "--pdeathsig", "TERM", *inside, *_metalwright(), "serve", "--config", str(self._config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environ())
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.directory / "log").read_text(errors="replace").splitlines()[-5:]
                raise Unavailable("controller_failed", f"The throw-away controller did not start: {' / '.join(said)}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill its supervisor, with which all of it ends: there is nothing to be kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def twin(self) -> Throwaway:
        """Another controller on the same database and files, with other ports; it has no more of its own than its process."""
        other = copy.copy(self)
        other._process = None
        other._config = self.directory / "twin.toml"
        admin, other.node_port = _free_port(), _free_port()
        ports = {self.access.url.rpartition(":")[2]: admin, str(self.node_port): other.node_port}
        text = self._config.read_text(encoding="utf-8")
        for old, new in ports.items():
            text = text.replace(f'listen = "127.0.0.1:{old}"', f'listen = "127.0.0.1:{new}"')
        other._config.write_text(text, encoding="utf-8")
        other.access = Access(f"http://127.0.0.1:{admin}", self.access.token)
        return other

    def close(self) -> None:
        """End it and remove all of it."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _make(self, settings: str, sizes_mib: tuple[int, int, int]) -> None:
        host = cabling.CONTROLLER if self._cabling else "127.0.0.1"
        admin, node = (5240, 5248) if self._cabling else (_free_port(), _free_port())
        self.node_port = node
        self.node_url = self.node_url or f"http://{host}:{node}"
        listening = ("--admin-listen", f"{host}:{admin}", "--node-listen", f"{host}:{node}", "--node-url", self.node_url)
        data = self.directory / "data"
        self._run("init", "--data-dir", str(data), *listening)
        saved = tomllib.loads((self.directory / "config/metalwright/client.toml").read_text(encoding="utf-8"))
        self.access = Access(saved["url"], saved["token"])
        if self._cabling:
            settings = f'[dhcp]\nengine = "dnsmasq"\ninterface = "{cabling.INTERFACE}"\n[tftp]\nlisten = "{host}:69"\n{settings}'
        with self._config.open("a", encoding="utf-8") as config:
            config.write(settings)
        kernel, root, image = sizes_mib
        agent, loaders = data / "boot/agent", data / "boot/loaders"
        _stand_in(agent / _BUILD / "vmlinuz", kernel)
        _stand_in(agent / _BUILD / "initrd.img", root)
        (agent / "current").symlink_to(_BUILD)
        for name in ("undionly.kpxe", "snponly.efi"):
            _stand_in(loaders / name, 1 / 16)
        _stand_in(self.directory / "stand-in.raw", image)
        self._run("image", "import", str(self.directory / "stand-in.raw"), "--name", IMAGE)

    def _environ(self) -> Mapping[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("METALWRIGHT_") or "__" in name}
        kept = {name: os.environ[name] for name in ("METALWRIGHT_DATABASE_URL",) if name in os.environ}
        return {**ours, **kept, **self._more, "XDG_CONFIG_HOME": str(self.directory / "config")}

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this controller's host."""
        command = [*_metalwright(), *words, "--config", str(self._config)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self._environ())

    def _run(self, *words: str) -> None:
        done = self.cli(*words)
        if done.returncode:
            raise Unavailable("controller_failed", f"'metalwright {words[0]}' failed: {done.stderr.strip()}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.access.url}/healthz", timeout=5):  # noqa: S310 - ours
                return True
        except (OSError, urllib.error.URLError):
            return False


def _metalwright() -> list[str]:
    return [sys.executable, "-c", "import sys; from metalwright.cli import main; sys.exit(main())"]


def _stand_in(path: Path, mib: float) -> None:
    """A file of random bytes; its first sector would pass for one of a partitioned disk, with loaders for BIOS and UEFI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytearray(os.urandom(int(mib * _MIB)))
    content[:512] = _SAYS.ljust(446, b" ") + bytes([0, 0, 0, 0, _EFI_SYSTEM]).ljust(64, b"\0") + b"\x55\xaa"
    path.write_bytes(content)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
