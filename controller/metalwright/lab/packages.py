# SPDX-License-Identifier: GPL-3.0-or-later
"""The package cache: the one thing by which machines without a way out reach package mirrors.

apt-cacher-ng, because it needs no list of mirrors, keeps what it fetched, and can do without a TCP port: it runs in the
host's network, where the mirrors are, and listens on a Unix socket alone. Inside the lab, socat listens for the machines and
connects each of them to that socket by in.acng, apt-cacher-ng's own bridge (the socket wants to be told the client first).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from metalwright.lab.children import Child
from metalwright.lab.spec import PACKAGES_PORT, LabSpec, Places

SUPPORT = Path("/usr/lib/apt-cacher-ng")

# No port: apt-cacher-ng has no word for that, but goes on when it can not bind. 192.0.2.1 is nobody's (RFC 5737).
# AllowUserPorts 0 is every port: mirrors live where the user's sources say. CONNECT is for mirrors on HTTPS.
CONFIGURATION = """\
CacheDir: {cache}
LogDir: {logs}
SupportDir: {support}
SocketPath: {socket}
BindAddress: 192.0.2.1
ForeGround: 1
ReportPage:
ExThreshold: 30
AllowUserPorts: 0
PassThroughPattern: ^[^/]*:443$
"""


def children(spec: LabSpec, places: Places, host_net: int, host_mount: int) -> list[Child]:
    """Write the configuration and return the two processes.

    ``host_net`` and ``host_mount`` are descriptors of the host's namespaces, in which apt-cacher-ng runs. Each lab has a cache
    of its own: apt-cacher-ng does not share one.
    """
    directory = places.etc / "apt-cacher-ng"
    logs = places.logs / "apt-cacher-ng"
    cache = places.cache / "packages" / spec.name
    for each in (directory, logs, cache):
        each.mkdir(parents=True, exist_ok=True)
    text = CONFIGURATION.format(cache=cache, logs=logs, support=SUPPORT, socket=places.packages_socket)
    proxy = os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY")
    if proxy:
        text += f"Proxy: {proxy}\n"
    (directory / "acng.conf").write_text(text, encoding="utf-8")
    in_host = ["nsenter", f"--net=/proc/self/fd/{host_net}", f"--mount=/proc/self/fd/{host_mount}"]
    listen = f"TCP-LISTEN:{PACKAGES_PORT},bind={spec.gateway},reuseaddr,fork,backlog=128,max-children=200"
    return [
        Child(
            "package-cache",
            [*in_host, shutil.which("apt-cacher-ng") or "/usr/sbin/apt-cacher-ng", "-c", str(directory)],
            pass_fds=(host_net, host_mount),
        ),
        Child("package-relay", ["socat", listen, f"EXEC:{SUPPORT / 'in.acng'} {places.packages_socket}"]),
    ]
