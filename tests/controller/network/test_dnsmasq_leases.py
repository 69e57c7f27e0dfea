# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases of a real dnsmasq that are in the way of what the network is to be."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dhcp_client import DhcpClient, Namespace
from running_engine import Running

from metalwright.config import Dhcp, Node, Settings
from metalwright.errors import Unavailable
from metalwright.network.engines import Change
from metalwright.network.model import Host, Network
from metalwright.network.model import NetworkState as State

A, B, C = "52:54:00:00:00:0a", "52:54:00:00:00:0b", "52:54:00:00:00:0c"
LAB = Network("sub1", "lab", "10.99.0.0/24", dynamic=(("10.99.0.100", "10.99.0.149"),))
WEB = Host("m1", A, "10.99.0.10", "sub1", "web1")
FAR = Network("sub2", "far", "10.98.0.0/28")
DB = Host("m2", B, "10.98.0.10", "sub2", "db1")


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = Namespace("10.99.0.1/24", "10.98.0.1/28")
    yield made
    made.remove()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, node=Node(url="http://10.99.0.1"), dhcp=Dhcp(engine="dnsmasq", interface="server"))


@pytest.fixture
def dnsmasq(namespace: Namespace, settings: Settings) -> Iterator[Running]:
    running = Running(namespace, settings)
    running.start(State((LAB,), (WEB,)))
    yield running
    running.stop()


@pytest.fixture
def client(namespace: Namespace) -> Iterator[DhcpClient]:
    made = DhcpClient(namespace)
    yield made
    made.close()


def test_an_address_on_lease_goes_to_the_machine_that_has_it_now(dnsmasq: Running, client: DhcpClient) -> None:
    assert client.lease(A).address == "10.99.0.10"
    dnsmasq.apply(State((LAB,), (replace(WEB, owner="m2", mac=B),)))
    assert client.lease(B).address == "10.99.0.10"
    assert client.lease(A).address != "10.99.0.10"
    dnsmasq.apply(State((LAB,), (WEB, Host("m2", B, "10.99.0.11"))))  # and back, and B keeps a lease meanwhile
    assert client.lease(A).address == "10.99.0.10"
    assert client.lease(B).address == "10.99.0.11"
    swapped = (replace(WEB, mac=B), Host("m2", A, "10.99.0.11"))
    dnsmasq.apply(State((LAB,), swapped))
    assert (client.lease(A).address, client.lease(B).address) == ("10.99.0.11", "10.99.0.10")
    assert dnsmasq.starts == 1


def test_a_lease_of_someone_else_is_forgotten_before_the_start(
    namespace: Namespace, settings: Settings, client: DhcpClient
) -> None:
    with Running(namespace, settings) as first:
        first.start(State((LAB,), (WEB,)))
        client.lease(A)
        kept = client.lease(C).address
    with Running(namespace, settings) as second:
        second.start(State((LAB,), (replace(WEB, owner="m2", mac=B),)))
        assert client.lease(B).address == "10.99.0.10"
    assert {(lease.mac, lease.address) for lease in second.engine.leases()} == {
        (B, "10.99.0.10"),
        (C, kept),
    }


def test_a_lease_that_can_not_be_ended_is_an_error(dnsmasq: Running, client: DhcpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalwright.network.engines.dnsmasq._RELEASE_WITHIN", 0.1)
    client.lease(A)
    [pid] = dnsmasq.pids
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match=f"10.99.0.10 is still on lease to {A}, so {B} does not get it"):
            dnsmasq.apply(State((LAB,), (replace(WEB, mac=B),)))
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("others", [(), (LAB,)], ids=["none is served", "another is served"])
def test_a_lease_of_a_subnet_that_is_not_served_any_more_is_in_nobodys_way(
    dnsmasq: Running, client: DhcpClient, others: tuple[Network, ...]
) -> None:
    dnsmasq.apply(State((*others, FAR), (DB,)))
    assert client.lease(B).address == "10.98.0.10"
    unserved = replace(FAR, dhcp=False)
    assert dnsmasq.apply(State((*others, unserved), (DB,))) is Change.RESTART
    assert dnsmasq.apply(State((*others, unserved), ())) is Change.RELOADED
    new = replace(DB, owner="m3", mac=C)
    assert dnsmasq.apply(State((*others, FAR), (new,))) is Change.RESTART
    assert client.lease(C).address == "10.98.0.10"


def test_a_lease_that_has_ended_is_in_nobodys_way(dnsmasq: Running, settings: Settings, client: DhcpClient) -> None:
    client.lease(A)
    leases = settings.data_dir / "dnsmasq" / "leases"
    _, rest = leases.read_text().split(" ", 1)
    leases.write_text(f"1 {rest}")
    [pid] = dnsmasq.pids
    os.kill(pid, signal.SIGSTOP)
    try:
        assert dnsmasq.apply(State((LAB,), ())) is Change.RELOADED
    finally:
        os.kill(pid, signal.SIGCONT)


def test_leases_of_a_subnet_that_is_not_served_any_more_keep_it_from_no_start(dnsmasq: Running, client: DhcpClient) -> None:
    """It does not start with more leases than it is told of, and a small subnet has few."""
    assert dnsmasq.apply(State((LAB, FAR), ())) is Change.RESTART
    for last in range(20):
        client.lease(f"52:54:00:00:01:{last:02x}")
    assert dnsmasq.apply(State((replace(LAB, dhcp=False), FAR), (DB,))) is Change.RESTART
    assert client.lease(B).address == DB.address
