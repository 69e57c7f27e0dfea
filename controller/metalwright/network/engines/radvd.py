# SPDX-License-Identifier: GPL-3.0-or-later
"""Router advertisements by radvd, for DHCPv6 servers that send none themselves (RFC 4861, RFC 4862).

They say that addresses come from DHCPv6 (the flags M and O) and which prefixes are on the link. They name this host as a router
only where it is the gateway: an advertisement can name nobody but its sender, and other routers advertise themselves.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from ipaddress import ip_network
from pathlib import Path

from metalwright.config import Settings
from metalwright.errors import Invalid, Unavailable
from metalwright.network.engines import Process
from metalwright.network.engines.configuration import Configuration
from metalwright.network.engines.own_addresses import Interfaces
from metalwright.network.model import NetworkState

NAME = "radvd"
_SAID = re.compile(r"\[[^]]*\] radvd \(\d+\): ")


def text(interface: str, state: NetworkState, ours: Interfaces) -> str:
    """What radvd reads. It is silent where no IPv6 subnet with DHCP is on the link."""
    near = [
        network
        for network in state.networks
        if network.dhcp and network.family == 6 and any(each.ip in ip_network(network.cidr) for each in ours)
    ]
    lines = ["IgnoreIfMissing on;", f"AdvSendAdvert {'on' if near else 'off'};"]
    if near:
        router = any(network.gateway in {str(each.ip) for each in ours} for network in near)
        mtu = min((network.mtu for network in near if network.mtu), default=0)
        lines += [
            "AdvManagedFlag on;",
            "AdvOtherConfigFlag on;",
            f"AdvLinkMTU {mtu};",
            *([] if router else ["AdvDefaultLifetime 0;"]),
        ]
        lines += [f"prefix {network.cidr} {{ AdvOnLink on; AdvAutonomous off; }};" for network in near]
    body = "".join(f"    {line}\n" for line in lines)
    return f"# Written by Metalwright: changes are overwritten.\ninterface {interface} {{\n{body}}};\n"


class Radvd:
    """``radvd`` on one network interface of this host, in ``<data_dir>/radvd``."""

    def __init__(self, settings: Settings) -> None:
        self._interface = settings.dhcp.interface
        self.directory = settings.data_dir.resolve() / NAME
        self.configuration = Configuration(self.directory / "radvd.conf")
        self._pid_file = self.directory / "radvd.pid"

    def process(self) -> Process:
        """radvd in the foreground."""
        options = ("-n", "-m", "stderr", "-p", str(self._pid_file), "-C", str(self.configuration.path))
        return Process(NAME, (_program(), *options), self.configuration, re.compile(r"radvd \(\d+\): version \S+ started"), _hear)

    def prepare(self, state: NetworkState, ours: Interfaces) -> str:
        """The configuration of that state, which radvd accepts. Nothing is changed.

        Raises ``Invalid`` (``dhcp_config_refused``, with radvd's words) or ``Unavailable`` (``radvd_missing``).
        """
        wanted = text(self._interface, state, ours)
        if self.configuration.good() != wanted:
            self._check(wanted)
        return wanted

    def commit(self, wanted: str) -> bool:
        """Have radvd use a configuration that was prepared; False if it does already."""
        if self.configuration.text() == wanted == self.configuration.good():
            return False
        changed = self.configuration.text() != wanted
        if changed:
            self.configuration.write(wanted)
        if self._signal():
            self.configuration.accept(wanted)
            return True
        return changed

    def _check(self, wanted: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        candidate = self.directory / ".radvd.candidate"
        candidate.write_text(wanted, encoding="utf-8")
        candidate.chmod(0o644)
        try:
            done = subprocess.run([_program(), "-c", "-C", str(candidate)], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise Unavailable("radvd_missing", "There is no radvd on this host.", "Install it: apt install radvd") from None
        finally:
            candidate.unlink()
        if done.returncode != 0:
            words = "; ".join(done.stderr.splitlines())
            message = f"radvd refuses its configuration: {words}. The former one stays."
            raise Invalid("dhcp_config_refused", message, "Look at the IPv6 subnets.", words=words)

    def _signal(self) -> bool:
        """Have radvd read its configuration; False if it does not run."""
        try:
            pid = int(self._pid_file.read_text())
            if str(self.configuration.path).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return False
            os.kill(pid, signal.SIGHUP)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return False
        except PermissionError:
            message = "radvd belongs to another user."
            raise Unavailable("radvd_unreachable", message, "Run this as the user the controller runs as.") from None
        return True


def _hear(line: str) -> str | None:
    return _SAID.sub("", line) or None


def _program() -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where Debian has it, and users have no such path
    return shutil.which(NAME, path=path) or NAME
