# SPDX-License-Identifier: GPL-3.0-or-later
"""The package cache: apt-cacher-ng, by which machines without a route out install packages.

It needs no list of mirrors, keeps what it has fetched, and goes on from that when a mirror is away.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

from metalwright.config import Settings
from metalwright.errors import Unavailable

SUPPORT = Path("/usr/lib/apt-cacher-ng")

# AllowUserPorts 0 is every port: mirrors live where the sources of the machines say. CONNECT is for mirrors on HTTPS.
_CONFIGURATION = """\
CacheDir: {cache}
LogDir: {logs}
SupportDir: {support}
ForeGround: 1
ReportPage:
ExThreshold: 30
AllowUserPorts: 0
PassThroughPattern: ^[^/]*:443$
"""


def configuration(cache: Path, logs: Path, **listening: str) -> str:
    """The text of ``acng.conf``; ``listening`` are the settings that say where. A proxy of the environment is gone through."""
    text = _CONFIGURATION.format(cache=cache, logs=logs, support=SUPPORT)
    text += "".join(f"{name}: {value}\n" for name, value in listening.items())
    proxy = os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY")
    return text + (f"Proxy: {proxy}\n" if proxy else "")


def program() -> str:
    """Where apt-cacher-ng is. Raises ``Unavailable`` (``package_cache_missing``)."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where Debian has it, and users have no such path
    found = shutil.which("apt-cacher-ng", path=path)
    if found is None:
        message = "There is no apt-cacher-ng on this host, so machines without a route out can not install packages."
        raise Unavailable("package_cache_missing", message, "Install it: apt install apt-cacher-ng")
    return found


def run(settings: Settings) -> NoReturn:
    """Become apt-cacher-ng, listening where ``[package_cache] listen`` says. Raises as ``program``, or ``OSError``."""
    directory = settings.data_dir.resolve() / "package-cache"
    etc, cache, logs = directory / "etc", directory / "packages", directory / "logs"
    for each in (etc, cache, logs):
        each.mkdir(parents=True, exist_ok=True)
    host, _, port = settings.package_cache.listen.rpartition(":")
    (etc / "acng.conf").write_text(configuration(cache, logs, BindAddress=host.strip("[]"), Port=port), encoding="utf-8")
    os.execv(program(), ["apt-cacher-ng", "-c", str(etc)])  # noqa: S606  (no shell is wanted)
