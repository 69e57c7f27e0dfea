# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts with Kea on one wire: one answers, the other knows all it has given, and takes over."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dhcp_client import DhcpClient, NetworkNamespace
from running_engine import Running
from wires import until

from metalwright.config import Dhcp, HotStandby, Node, Settings
from metalwright.network.engines import kea_control
from metalwright.network.model import Host, Network, NetworkState

A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
LAB = Network("sub1", "lab", "10.99.0.0/24", dynamic=(("10.99.0.100", "10.99.0.149"),))
STATE = NetworkState((LAB,), (Host("m1", A, "10.99.0.10", "sub1", "web1"),))
ADDRESSES = {"primary": "10.99.0.1", "standby": "10.99.0.2"}


class Pair:
    """The two, and a client beside them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hosts = {role: NetworkNamespace() for role in ADDRESSES}
        self.client = NetworkNamespace()
        self.client.ip("link", "add", "switch", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self.client.ip("link", "add", "client", "type", "veth", "peer", "name", "port")
        self.client.ip("link", "set", "port", "master", "switch", "up")
        for device in ("switch", "client"):
            self.client.ip("link", "set", device, "up")
        for role, namespace in self.hosts.items():
            namespace.ip("link", "add", "server", "type", "veth", "peer", "name", role, "netns", self.client.name)
            namespace.ip("address", "add", f"{ADDRESSES[role]}/24", "dev", "server")
            namespace.ip("link", "set", "server", "up")
            self.client.ip("link", "set", role, "master", "switch", "up")
        self.client.ip("address", "add", "10.99.0.9/24", "dev", "client")
        self._openssl("req", "-x509", "-subj", "/CN=the pair", *_key("ca"), "-out", "ca.pem")
        self.servers = {role: self._start(role) for role in ADDRESSES}

    def _start(self, role: str) -> Running:
        self._openssl("req", "-subj", f"/CN={role}", *_key(role), "-out", f"{role}.csr")
        self._openssl("x509", "-req", "-in", f"{role}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", f"{role}.pem")
        settings = Settings(
            data_dir=self.directory / role,
            node=Node(url="http://10.99.0.1:5248"),
            dhcp=Dhcp(engine="kea+bind", interface="server"),
            hot_standby=HotStandby(
                role=role,
                **ADDRESSES,
                ca=self.directory / "ca.pem",
                cert=self.directory / f"{role}.pem",
                key=self.directory / f"{role}.key",
            ),
        )
        running = Running(self.hosts[role], settings, ADDRESSES[role])
        running.start(STATE)
        return running

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

    def state(self, role: str) -> str:
        answer = kea_control.command(self.directory / role / "kea" / "kea-dhcp4.sock", "ha-heartbeat")
        return str(answer["state"])

    def remove(self) -> None:
        for running in self.servers.values():
            running.stop()
        for namespace in (*self.hosts.values(), self.client):
            namespace.remove()


def _key(name: str) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    made.remove()


def test_one_answers_and_the_other_takes_over(pair: Pair) -> None:
    until(lambda: {pair.state(role) for role in ADDRESSES} == {"hot-standby"}, 20)
    client = DhcpClient(pair.client)
    given = client.lease(B)
    assert socket.inet_ntoa(given.options[54]) == ADDRESSES["primary"]
    until(lambda: given.address in {lease.address for lease in pair.servers["standby"].engine.leases()})
    primary = pair.servers.pop("primary")
    primary.stop()
    until(lambda: pair.state("standby") == "partner-down", 30)
    again = client.lease(B)
    assert (again.address, socket.inet_ntoa(again.options[54])) == (given.address, ADDRESSES["standby"])
    assert client.lease(A).address == "10.99.0.10"
    client.close()


def test_a_stranger_commands_neither(pair: Pair) -> None:
    """Kea takes any command from whoever it lets in."""
    context = ssl.create_default_context(cafile=str(pair.directory / "ca.pem"))
    context.check_hostname = False
    body = json.dumps({"command": "config-get", "service": ["dhcp4"]})
    request = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    plain = pair.client.run(lambda: socket.create_connection((ADDRESSES["standby"], 8647), timeout=10))
    with pytest.raises((ssl.SSLError, ConnectionError)), context.wrap_socket(plain) as tls:
        tls.sendall(request.encode())
        assert tls.recv(100) == b""
        raise ConnectionError
