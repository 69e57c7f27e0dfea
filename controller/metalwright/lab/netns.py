# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: one namespace, in it a bridge for the machines and the BMCs' addresses. No way leads out of it.

The host's own network is not touched: no interface of the host is moved, joined or renamed, no rule is written, and nothing
is put under /etc/netns. Processes enter with ``ip netns exec`` and get a private view of a few files on top.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from metalwright.errors import Unavailable
from metalwright.lab.spec import LabSpec, Places

BRIDGE = "br0"

# Name resolution asks the lab's controller. With systemd-resolved, /etc/resolv.conf points into its directory and glibc
# asks its socket there, nscd has one too: all of them know nothing of the lab and are covered.
INSIDE = """
set -e
for covered in /run/systemd/resolve /run/nscd; do
    if [ -d $covered ]; then mount -t tmpfs -o mode=755 lab $covered; fi
done
if [ -d /run/systemd/resolve ]; then cp "$1/resolv.conf" /run/systemd/resolve/resolv.conf
    cp "$1/resolv.conf" /run/systemd/resolve/stub-resolv.conf; fi
if [ -e /etc/resolv.conf ]; then mount --bind "$1/resolv.conf" /etc/resolv.conf; fi
shift
exec "$@"
"""


def exists(spec: LabSpec) -> bool:
    """Return whether the namespace is there."""
    return Path("/run/netns", spec.namespace).exists()


def create(spec: LabSpec) -> None:
    """Make what is missing of the namespace, the bridge and the addresses."""
    if not exists(spec):
        _run("ip", "netns", "add", spec.namespace)
    if not _has(spec, BRIDGE):
        _ip(spec, "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    # A bridge without an address of its own takes its ports' and would change it with every machine.
    _ip(spec, "link", "set", BRIDGE, "address", "52:54:00:00:00:01", "up")
    _ip(spec, "link", "set", "lo", "up")
    _ip(spec, "address", "replace", f"{spec.gateway}/{spec.subnet.prefixlen}", "dev", BRIDGE)
    for machine in spec.machines:
        _ip(spec, "address", "replace", f"{spec.bmc_address(machine.name)}/32", "dev", "lo")


def delete(spec: LabSpec) -> None:
    """Remove the namespace and all in it, if it is there."""
    if exists(spec):
        _run("ip", "netns", "delete", spec.namespace)


def pids(spec: LabSpec) -> list[int]:
    """Return the processes that live in the namespace, this one not counted."""
    if not exists(spec):
        return []
    return [pid for pid in map(int, _run("ip", "netns", "pids", spec.namespace).split()) if pid != os.getpid()]


def command(spec: LabSpec, places: Places, argv: list[str]) -> list[str]:
    """Return the command that runs ``argv`` inside the lab: its network, and names resolved by its controller."""
    return ["ip", "netns", "exec", spec.namespace, "sh", "-c", INSIDE, "metalwright-lab", str(places.etc), *argv]


def write_files(spec: LabSpec, places: Places) -> None:
    """Write the files that processes inside see in place of the host's."""
    places.etc.mkdir(parents=True, exist_ok=True)
    (places.etc / "resolv.conf").write_text(f"nameserver {spec.gateway}\n", encoding="utf-8")


def _has(spec: LabSpec, interface: str) -> bool:
    return any(link["ifname"] == interface for link in json.loads(_ip(spec, "-json", "link", "show")))


def _ip(spec: LabSpec, *words: str) -> str:
    return _run("ip", "-netns", spec.namespace, *words)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(
            "lab_network_failed",
            f"'{' '.join(command)}' failed: {done.stderr.strip()}",
            "A kernel with network namespaces and bridges is needed, and root.",
        )
    return done.stdout
