# SPDX-License-Identifier: GPL-3.0-or-later
"""Router advertisements by radvd, for DHCPv6 servers that send none themselves (RFC 4861, RFC 4862).

They say that addresses come from DHCPv6 (the flags M and O) and which prefixes are on the link. They name this host as a router
only where it is the gateway: an advertisement can name nobody but its sender, and other routers advertise themselves.
"""

from __future__ import annotations

import re
from ipaddress import ip_network

from metalwright.config import Settings
from metalwright.errors import Invalid
from metalwright.network.engines import Process, software
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
        return Process(
            NAME, (software.program(NAME), *options), self.configuration, re.compile(r"radvd \(\d+\): version \S+ started"), _hear
        )

    def prepare(self, state: NetworkState, ours: Interfaces) -> str:
        """The configuration of that state, which radvd accepts. Nothing is changed.

        Raises ``Invalid`` (``dhcp_config_refused``, with radvd's words) or ``Unavailable`` (``engine_missing``).
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
        pid = software.running(self._pid_file, self.configuration.path)
        if pid is not None:
            software.hang_up(pid, NAME)
            self.configuration.accept(wanted)
            return True
        return changed

    def _check(self, wanted: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        candidate = self.directory / ".radvd.candidate"
        candidate.write_text(wanted, encoding="utf-8")
        candidate.chmod(0o644)
        try:
            content, said = software.ask([NAME, "-c", "-C", str(candidate)], NAME)
        finally:
            candidate.unlink()
        if not content:
            words = "; ".join(_SAID.sub("", line) for line in said.splitlines())
            message = f"radvd refuses its configuration: {words}. The former one stays."
            raise Invalid("dhcp_config_refused", message, "Look at the IPv6 subnets.", words=words)


def _hear(line: str) -> str | None:
    return _SAID.sub("", line) or None
