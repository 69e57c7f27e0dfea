# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that ours are measured beside, run at the far end of a cable from the clients, as ours is.

A program that this host lacks is unpacked from Debian's package into the user's cache: nothing is installed, and nothing of what
a package starts by itself is started.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from metalwright.sim.cabling import INTERFACE, Cabling

ADDRESS = "198.19.254.1"
"""Theirs, beside the controller's; no machine and no BMC of the simulator has it."""
TFTPD_PORT = 1069
NGINX_PORT = 8080
_CACHE = Path.home() / ".cache/metalwright/peers"
_PACKAGES = {"in.tftpd": "tftpd-hpa", "dnsmasq": "dnsmasq-base", "nginx": "nginx"}
_PATIENCE = 10.0
_NGINX = """
daemon off;
user root;
worker_processes auto;
error_log stderr error;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    server {{ listen {address}:{port}; root {root}; }}
}}
"""


def program(name: str) -> str:
    """Where a program is. Raises ``SystemExit`` with the name of what is missing.

    To be asked for before this process moves into a network namespace: it may have to be fetched.
    """
    package = _PACKAGES[name]
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or _unpacked(name)
    if found is None:
        _CACHE.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-qq", package], cwd=_CACHE, check=True, capture_output=True)
            for file in _CACHE.glob(f"{package}_*.deb"):
                subprocess.run(["dpkg-deb", "-x", file, _CACHE], check=True)
                file.unlink()
        except (OSError, subprocess.CalledProcessError):
            raise SystemExit(f"{name} is not here and can not be fetched: install {package}.") from None
        found = _unpacked(name)
    if found is None:
        raise SystemExit(f"{name} is not here, and not in Debian's package {package}.")
    return found


def _unpacked(name: str) -> str | None:
    return shutil.which(name, path=f"{_CACHE}/usr/sbin:{_CACHE}/usr/bin")


def connect(cable: Cabling) -> None:
    """Give the peers an address at the controller's end of the cable."""
    subprocess.run([*cable.inside(), "ip", "address", "add", f"{ADDRESS}/32", "dev", INTERFACE], check=True)
    subprocess.run(["ip", "route", "add", f"{ADDRESS}/32", "dev", INTERFACE], check=True)


class Peer:
    """A program that serves at the controller's end of the cable until it is closed."""

    def __init__(self, cable: Cabling, log: Path, *command: str) -> None:
        self._log = log
        with log.open("wb") as output:
            words = ["setpriv", "--pdeathsig", "TERM", *cable.inside(), *command]
            self._process = subprocess.Popen(words, stdout=output, stderr=output)
        self.pid = self._process.pid

    def await_start(self, answers: Callable[[], bool]) -> None:
        """Raises ``SystemExit`` with what it has said when it does not come to answer."""
        deadline = time.monotonic() + _PATIENCE
        while not answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self._process.args!r} does not serve: {self._log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def tftpd(cable: Cabling, root: Path, log: Path) -> Peer:
    """tftpd-hpa: it forks a process for each transfer."""
    where = ("--ipv4", "--foreground", "--listen", "--address", f"{ADDRESS}:{TFTPD_PORT}")
    return Peer(cable, log, program("in.tftpd"), *where, "--secure", "--user", "root", str(root))


def dnsmasq(cable: Cabling, root: Path, log: Path, transfers: int) -> Peer:
    """dnsmasq with TFTP and nothing else; it serves 50 at once if it is not told otherwise."""
    only = ("--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", f"--listen-address={ADDRESS}")
    what = ("--enable-tftp", f"--tftp-root={root}", f"--tftp-max={transfers}")
    quiet = ("--user=root", "--log-facility=-", "--quiet-tftp", f"--pid-file={log}.pid")
    return Peer(cable, log, program("dnsmasq"), *only, *what, *quiet)


def nginx(cable: Cabling, root: Path, directory: Path) -> Peer:
    """nginx as Debian configures it, with a log of accesses as ours has one."""
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, address=ADDRESS, port=NGINX_PORT, root=root))
    return Peer(cable, directory / "nginx.log", program("nginx"), "-c", str(config), "-p", str(directory))
