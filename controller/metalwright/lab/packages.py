# SPDX-License-Identifier: GPL-3.0-or-later
"""The package cache: the one thing by which machines without a way out reach package mirrors.

apt-cacher-ng can do without a TCP port: it runs in the host's network, where the mirrors are, and listens on a Unix socket alone.
Inside the lab, socat listens for the machines and connects each of them to that socket by in.acng, apt-cacher-ng's own bridge
(the socket wants to be told the client first).
"""

from __future__ import annotations

from metalwright.lab.children import Child
from metalwright.lab.spec import PACKAGES_PORT, LabSpec, Places
from metalwright.serve import package_cache

NOBODY = "192.0.2.1"
"""No port: apt-cacher-ng has no word for that, but goes on when it can not bind. This address is nobody's (RFC 5737)."""


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
    text = package_cache.configuration(cache, logs, SocketPath=str(places.packages_socket), BindAddress=NOBODY)
    (directory / "acng.conf").write_text(text, encoding="utf-8")
    in_host = ["nsenter", f"--net=/proc/self/fd/{host_net}", f"--mount=/proc/self/fd/{host_mount}"]
    listen = f"TCP-LISTEN:{PACKAGES_PORT},bind={spec.gateway},reuseaddr,fork,backlog=128,max-children=200"
    return [
        Child(
            "package-cache",
            [*in_host, package_cache.program(), "-c", str(directory)],
            pass_fds=(host_net, host_mount),
        ),
        Child("package-relay", ["socat", listen, f"EXEC:{package_cache.SUPPORT / 'in.acng'} {places.packages_socket}"]),
    ]
