# SPDX-License-Identifier: GPL-3.0-or-later
"""A small site in network namespaces, and the real DHCP clients that live there.

    server          relay                     client
    [server]--switch--[near]   [far]------------[far]
               |                                [client]
               +----------------------------------+

``server`` of the server has addresses; ``near`` of the relay is beside it, ``far`` the router of a subnet of its own. ``client``
and ``far`` of the client have none.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dhcp_client import NetworkNamespace

SERVER_4, SERVER_6 = "10.99.0.1", "fd99::1"
NEAR_4, NEAR_6 = "10.99.0.2", "fd99::2"
FAR_4, FAR_6 = "10.98.0.254", "fd98::fe"
ELSEWHERE_4 = "10.96.0.77"
"""An address of the relay that is in no subnet."""
DUID = "00:03:00:01"
"""What a DUID-LL of an Ethernet card begins with (RFC 8415 section 11.4)."""

_SCRIPT = """#!/bin/sh
case "${reason:-$1}" in
    PREINIT6) exit 0 ;;
    BOUND|REBOOT|BOUND6|bound) env > "$METALWRIGHT_FOUND.new" && mv "$METALWRIGHT_FOUND.new" "$METALWRIGHT_FOUND" ;;
esac
exit 0
"""


class Wires:
    """The namespaces and the cables between them."""

    def __init__(self) -> None:
        self.server, self.relay, self.client = NetworkNamespace(), NetworkNamespace(), NetworkNamespace()
        self.server.ip("link", "add", "server", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self._cable(self.server, "to-client", self.client, "client")
        self._cable(self.server, "to-relay", self.relay, "near")
        self._cable(self.relay, "far", self.client, "far")
        for port in ("to-client", "to-relay"):
            self.server.ip("link", "set", port, "master", "server", "up")
        self._addresses(self.server, "server", f"{SERVER_4}/24", f"{SERVER_6}/64", "fe80::1/64")
        self._addresses(self.relay, "near", f"{NEAR_4}/24", f"{NEAR_6}/64", "fe80::2/64")
        self._addresses(self.relay, "far", f"{FAR_4}/24", f"{FAR_6}/64", "fe80::fe/64")
        self._addresses(self.client, "client", "fe80::c/64")
        self._addresses(self.client, "far", "fe80::d/64")
        self.server.ip("route", "add", "10.98.0.0/24", "via", NEAR_4)
        self.relay.ip("address", "add", f"{ELSEWHERE_4}/32", "dev", "lo")
        self.server.ip("route", "add", ELSEWHERE_4, "via", NEAR_4)
        self.server.ip("-6", "route", "add", "fd98::/64", "via", NEAR_6)

    @staticmethod
    def _cable(one: NetworkNamespace, end: str, other: NetworkNamespace, other_end: str) -> None:
        one.ip("link", "add", end, "type", "veth", "peer", "name", other_end, "netns", other.name)

    @staticmethod
    def _addresses(namespace: NetworkNamespace, device: str, *addresses: str) -> None:
        namespace.ip("link", "set", device, "addrgenmode", "none")
        for address in addresses:
            namespace.ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        namespace.ip("link", "set", device, "up")

    def remove(self) -> None:
        for namespace in (self.server, self.relay, self.client):
            namespace.remove()


@dataclass
class Clients:
    """Real clients. What a client was given is its environment of the script that it calls."""

    wires: Wires
    directory: Path

    def mac(self, device: str, mac: str) -> None:
        """Give a card of the client another address, and have everyone forget the former one."""
        self.wires.client.ip("link", "set", device, "address", mac)
        self.wires.server.ip("neigh", "flush", "dev", "server")
        self.wires.relay.ip("neigh", "flush", "dev", "far")

    def udhcpc(self, mac: str, device: str = "client", *wanted: str, tries: int = 4) -> dict[str, str] | None:
        """Ask by busybox, which takes care to ask for options by name or number; None if there was no answer."""
        self.mac(device, mac)
        command = ["busybox", "udhcpc", "-i", device, "-f", "-n", "-q", "-t", str(tries), "-T", "1"]
        command += [word for option in wanted for word in ("-O", option)]
        return self._run([*command, "-s", str(self._script())])

    def dhclient(self, family: int, mac: str, device: str = "client", *options: str) -> dict[str, str] | None:
        """Ask by ISC's client; None if there was no answer. With DHCPv6 it is known by its card's address (DUID-LL)."""
        self.mac(device, mac)
        state = self.directory / secrets.token_hex(4)
        (self.directory / "dhclient.conf").write_text(
            "initial-interval 1;\ntimeout 5;\nalso request ntp-servers, interface-mtu;\n"
        )
        command = ["dhclient", f"-{family}", "-1", "-d", "-cf", str(self.directory / "dhclient.conf"), "-lf", f"{state}.leases"]
        command += ["-pf", f"{state}.pid", *(["-D", "LL"] if family == 6 else []), "-sf", str(self._script()), *options]
        return self._run([*command, device], ends=False)

    def dig(self, *question: str, server: str = SERVER_4) -> list[str]:
        """The status, then the lines of the answer: name, TTL, class, type, data. The relay asks: it has an address."""
        command = ["dig", f"@{server}", "+norecurse", "+noall", "+answer", "+comments", "+tries=2", "+time=2", *question]
        text = subprocess.run(self.wires.relay.command(command), capture_output=True, text=True, check=True).stdout
        status = next(line.partition("status: ")[2].partition(",")[0] for line in text.splitlines() if "status: " in line)
        answers = [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith(";")]
        return [status, *answers]

    def _script(self) -> Path:
        script = self.directory / "script"
        if not script.exists():
            script.write_text(_SCRIPT)
            script.chmod(0o755)
        return script

    def _run(self, command: list[str], *, ends: bool = True) -> dict[str, str] | None:
        """Run a client until it has an address or gives up."""
        found = self.directory / secrets.token_hex(4)
        environment = {"PATH": os.environ["PATH"], "METALWRIGHT_FOUND": str(found)}
        if not ends:  # dhclient hands on nothing else
            command[1:1] = ["-e", f"METALWRIGHT_FOUND={found}"]
        process = subprocess.Popen(
            self.wires.client.command(command), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: process.poll() is not None or (not ends and found.exists()), 15)
        finally:
            process.kill()
            process.wait()
        if not found.exists():
            return None
        return dict(line.partition("=")[::2] for line in found.read_text().splitlines())


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until it is so. A deadline that passes is a failure."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)
