# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHCP child with a real dnsmasq in a network namespace: it follows the subnets, comes back, and dies with its supervisor."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import children, descendants, lives, name, until
from running_controller import RunningController

sys.path.append(str(Path(__file__).parent.parent / "network"))
from dhcp_client import DhcpClient, Namespace

from metalwright.store import Store, tallies
from metalwright.store.models import IpRange, Subnet, Task

MAC = "52:54:00:00:00:0a"


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace("10.99.0.1/24")
    yield made
    made.remove()


@pytest.fixture
def serving(tmp_path: Path, namespace: Namespace) -> Iterator[RunningController]:
    more = '[dhcp]\nengine = "dnsmasq"\ninterface = "server"\n'
    controller = RunningController(tmp_path, more, prefix=namespace.command([]), node_url="http://10.99.0.1:5248")
    try:
        controller.start_with([])
        until(lambda: namespace.run(controller.answers), "the first answer of the API")
        yield controller
    finally:
        controller.stop()


@pytest.fixture
def client(namespace: Namespace) -> Iterator[DhcpClient]:
    made = DhcpClient(namespace)
    yield made
    made.close()


def dhcp(controller: RunningController) -> int:
    """The DHCP child."""
    return until(lambda: next((pid for pid in children(controller.pid) if name(pid) == "mw-dhcp"), 0), "the DHCP child runs")


def dnsmasq(controller: RunningController) -> int:
    """The dnsmasq below it."""
    return until(lambda: next((pid for pid in children(dhcp(controller)) if name(pid) == "dnsmasq"), 0), "dnsmasq runs")


def leased(client: DhcpClient) -> str:
    return until(lambda: answer.address if (answer := client.ask(MAC, patience=0.5)) else "", "DHCP answers")


def add_subnet(controller: RunningController) -> None:
    add(controller, "subnets", {"name": "lab", "cidr": "10.99.0.0/24", "dhcp": True})
    add(controller, "ranges", {"subnet": "lab", "kind": "dynamic", "start": "10.99.0.100", "end": "10.99.0.149"})


def add(controller: RunningController, what: str, body: dict[str, object]) -> None:
    token = controller.json("token", "create", secrets.token_hex(4), "--config", str(controller.config))["token"]
    command = [*controller.prefix, "curl", "-sS", "--fail-with-body", "--json", json.dumps(body)]
    command += ["-H", f"Authorization: Bearer {token}", f"{controller.url}/api/v1/{what}"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def restarts(controller: RunningController) -> list[tuple[str, str]]:
    found = controller.json("event", "list", "--kind", "service.restarted")
    return [(event["data"]["service"], event["data"]["how"]) for event in found]


def test_a_new_subnet_is_served_at_once_and_that_is_no_death(serving: RunningController, client: DhcpClient) -> None:
    before = dnsmasq(serving)
    add_subnet(serving)
    assert leased(client).startswith("10.99.0.1")
    assert dnsmasq(serving) != before
    assert restarts(serving) == []


@pytest.fixture
def foreign(namespace: Namespace, tmp_path: Path) -> Iterator[str]:
    """A DHCP server of somebody else at the other end of the cable; its address."""
    namespace.ip("address", "add", "10.97.0.9/24", "dev", "client")
    command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=client", "--bind-interfaces"]
    command += ["--dhcp-range=10.97.0.100,10.97.0.110", f"--dhcp-leasefile={tmp_path}/foreign", "--no-ping", "--log-facility=-"]
    server = subprocess.Popen(namespace.command([*command, "--user=root"]), stderr=subprocess.DEVNULL)
    yield "10.97.0.9"
    server.kill()
    server.wait()


def test_dnsmasq_and_its_child_come_back(serving: RunningController, client: DhcpClient, foreign: str) -> None:
    add_subnet(serving)
    leased(client)
    killed = dnsmasq(serving)
    os.kill(killed, signal.SIGKILL)
    until(lambda: dnsmasq(serving) != killed, "dnsmasq is back")
    leased(client)
    killed, above = dnsmasq(serving), dhcp(serving)
    os.kill(above, signal.SIGKILL)
    until(lambda: not lives(killed), "dnsmasq died with its child")
    assert dnsmasq(serving) != killed
    leased(client)
    expected = [("dnsmasq", "was killed by SIGKILL"), ("dhcp", "was killed by SIGKILL")]
    until(lambda: restarts(serving) == expected, "both deaths are events")
    # the new child has looked for servers of others
    told = until(lambda: serving.json("event", "list", "--kind", "network.foreign_dhcp"), "the foreign server is an event")
    assert [event["data"]["server"] for event in told] == [foreign]


def test_what_a_worker_elsewhere_has_done_is_served_here(
    postgres_store: Store, tmp_path: Path, namespace: Namespace, client: DhcpClient
) -> None:
    """A controller with another engine, or none, on the same database: it carries a change out, and this host has to serve it."""
    more = '[dhcp]\nengine = "dnsmasq"\ninterface = "server"\n'
    controller = RunningController(tmp_path, more, prefix=namespace.command([]), node_url="http://10.99.0.1:5248")
    url = postgres_store.url.render_as_string(hide_password=False)
    try:
        controller.start_with([], environ={"METALWRIGHT_DATABASE_URL": url})
        until(lambda: namespace.run(controller.answers), "the first answer of the API")
        dnsmasq(controller)
        with postgres_store.write() as session:
            served = IpRange(kind="dynamic", start="10.99.0.100", end="10.99.0.149")
            session.add(Subnet(name="lab", cidr="10.99.0.0/24", dhcp=True, ranges=[served]))
            session.add(Task(kind="network.apply", state="done", owner="elsewhere"))
        assert leased(client).startswith("10.99.0.1")
    finally:
        controller.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_dnsmasq_ends_with_the_controller(serving: RunningController, number: signal.Signals) -> None:
    below = [dnsmasq(serving), *descendants(serving.pid)]
    assert serving.process is not None
    serving.process.send_signal(number)
    serving.process.wait(15)
    until(lambda: not any(lives(pid) for pid in below), "all are gone")


def test_a_hangup_writes_the_configuration_anew(serving: RunningController) -> None:
    config = serving.data / "dnsmasq" / "dnsmasq.conf"
    until(config.exists, "there is a configuration")  # a dnsmasq that only checks it comes before
    dnsmasq(serving)
    wanted = config.read_text()
    config.write_text("# spoiled\n")
    os.kill(serving.pid, signal.SIGHUP)
    until(lambda: config.read_text() == wanted, "the configuration is as it should be")


def test_each_packet_of_a_machine_that_boots_is_an_event_once(serving: RunningController, client: DhcpClient) -> None:
    add_subnet(serving)
    leased(client)
    serving.json("machine", "add", "node-1", "--mac", MAC)
    operation = serving.json("machine", "commission", "node-1", "--no-wait")["operation"]["id"]
    # the phase begins before the machine is told to boot; a packet in between belongs to the boot before
    until(lambda: serving.json("event", "list", "--kind", "power.netboot", "--operation", operation), "it is told to boot")
    for _ in range(3):
        client.lease(MAC)
    client.lease("52:54:00:00:00:0b")

    def seen() -> list[str]:
        found = serving.json("event", "list", "--kind", "boot.dhcp", "--operation", operation)
        return sorted(event["data"]["packet"] for event in found)

    until(lambda: len(seen()) >= 4, "the packets are events")
    assert seen() == ["ack", "discover", "offer", "request"]


def test_packets_are_counted_by_their_kind_whoever_sends_them(serving: RunningController, client: DhcpClient) -> None:
    add_subnet(serving)
    leased(client)
    store = Store(f"sqlite:///{serving.data / 'metalwright.db'}")

    def counted() -> dict[str, float]:
        with store.session() as session:
            return {labels["packet"]: value for labels, value in tallies.all_of(session).get("dhcp_packets", [])}

    found = until(counted, "the counts are in the database")
    assert set(found) >= {"discover", "offer"}
    store.engine.dispose()
