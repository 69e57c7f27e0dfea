# SPDX-License-Identifier: GPL-3.0-or-later
"""Two network namespaces with a cable between them: this process and its machines in one, the throw-away controller in the other.

They have no names and nothing is written down: both are gone when their processes are. The machines' end answers to every address
of their subnet and of the BMCs' network, and is the router and the DHCP relay. Addresses are of 198.18.0.0/15, set aside for
measuring network devices (RFC 2544, section C.2.2).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from ipaddress import IPv4Network
from pathlib import Path

from metalwright.errors import MetalwrightError, Unavailable

CONTROLLER, ROUTER = "198.19.255.1", "198.19.255.2"
RELAY = "198.18.0.1"
MACHINES = IPv4Network("198.18.0.0/16")
BMCS = IPv4Network("198.19.0.0/17")
INTERFACE = "mw-cable"
SUBNET = {
    "name": "sim",
    "cidr": str(MACHINES),
    "gateway": RELAY,
    "ranges": [
        {"kind": "static", "start": "198.18.1.0", "end": "198.18.199.255"},
        {"kind": "dynamic", "start": "198.18.200.0", "end": "198.18.254.255"},
    ],
}
_CLONE_NEWNET = 0x40000000
_PATIENCE = 10.0


class Cabling:
    """Made by root, before any socket is opened and any thread is started: the whole process moves."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            message = "The simulator makes network namespaces for DHCP and TFTP; only root may."
            raise MetalwrightError("root_needed", message, "Run it with sudo, or with --no-network.")
        ours = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - no path to follow
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise Unavailable("no_namespace", f"No network namespace can be made: {os.strerror(ctypes.get_errno())}.")
        self._holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        there = Path(f"/proc/{self._holder.pid}/ns/net")
        deadline = time.monotonic() + _PATIENCE
        while there.stat().st_ino in (ours, Path("/proc/self/ns/net").stat().st_ino):
            if self._holder.poll() is not None or time.monotonic() > deadline:
                raise Unavailable("no_namespace", "No network namespace can be made for the controller.")
            time.sleep(0.01)
        self._connect()

    def inside(self) -> list[str]:
        """What is put before a command that is to run beside the controller."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]

    def close(self) -> None:
        """Let go of the controller's namespace; ours ends with this process."""
        self._holder.kill()
        self._holder.wait()

    def _connect(self) -> None:
        there = self.inside()
        link = ["ip", "link", "add", "name", INTERFACE, "type", "veth", "peer", "name", INTERFACE, "netns", str(self._holder.pid)]
        _run(link)
        for inside, address in ((there, CONTROLLER), ([], ROUTER)):
            _run([*inside, "ip", "link", "set", "lo", "up"])
            _run([*inside, "ip", "address", "add", f"{address}/30", "dev", INTERFACE])
            _run([*inside, "ip", "link", "set", INTERFACE, "up"])
        for network in (MACHINES, BMCS):
            _run(["ip", "route", "add", "local", str(network), "dev", "lo"])
            _run([*there, "ip", "route", "add", str(network), "via", ROUTER])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        hint = "A kernel with network namespaces and veth is needed, and root."
        raise Unavailable("sim_network_failed", f"'{' '.join(command)}' failed: {done.stderr.strip()}", hint)
