# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine takes the place of the other and back, and a client that comes again has its address still."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from dhcp_client import ACK, REQUEST, DhcpClient, Namespace
from engines_under_test import ENGINES
from running_engine import Running

from metalwright.network.engines import succession
from metalwright.network.model import Host, Network, NetworkState

KNOWN, ANYONE = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
SITE = NetworkState(
    (Network("n1", "lab", "10.99.0.0/24", dynamic=(("10.99.0.100", "10.99.0.200"),)),),
    (Host("m1", KNOWN, "10.99.0.10", "n1"),),
)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace("10.99.0.1/24")
    yield made
    made.remove()


@pytest.fixture
def client(namespace: Namespace) -> Iterator[DhcpClient]:
    made = DhcpClient(namespace)
    yield made
    made.close()


def test_a_client_has_its_address_still(namespace: Namespace, client: DhcpClient, tmp_path: Path) -> None:
    had = ""
    for name in ("dnsmasq", "kea+bind", "dnsmasq"):
        settings = ENGINES[name](tmp_path)
        with Running(namespace, settings) as running:
            running.apply(SITE)
            succession.take_over(settings, running.engine)
            running.run()
            if not had:
                had = client.lease(ANYONE).address
                client.lease(KNOWN)
                assert had.startswith("10.99.0.1")
                continue
            assert {(lease.mac, lease.address) for lease in running.engine.leases()} == {(ANYONE, had), (KNOWN, "10.99.0.10")}
            again = client.ask(ANYONE, REQUEST, o50=socket.inet_aton(had))  # it restarts (RFC 2131 section 4.3.2, INIT-REBOOT)
            assert again is not None
            assert (again.kind, again.address) == (ACK, had)
            assert client.lease(KNOWN).address == "10.99.0.10"
