# SPDX-License-Identifier: GPL-3.0-or-later
"""What our configuration costs Kea: perfdhcp against it, and against the same Kea with the shortest one that is written by hand.

Needs root, and Debian's kea-admin. Run: python tests/bench/kea.py [ROUNDS]

Both know the same 1,000 machines. Each round measures one after the other: four-way exchanges at a rate that both are up to, and
at one that neither is. Medians are printed, and beside them the processor time that Kea took for an answer, which other work on
the host disturbs less than the rate.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "controller" / "network"))

from dhcp_client import NetworkNamespace

from metalwright.config import Dhcp, Node, Settings, Tftp
from metalwright.network.engines.kea import KeaServer
from metalwright.network.engines.own_addresses import on_interface
from metalwright.network.model import Host, Network, NetworkState

MACHINES = 1000
EASY, HARD = 1000, 20000
SECONDS = 6
SERVER, CLIENT = "10.77.0.1", "10.77.0.2"
LAB = Network("lab", "lab", "10.77.0.0/16", gateway="10.77.0.1", dynamic=(("10.77.1.0", "10.77.20.255"),))
HOSTS = tuple(
    Host(f"m{n}", f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", f"10.77.{128 + (n >> 8)}.{n & 255}", "lab")
    for n in range(1, MACHINES + 1)
)
SETTLE = 1.0


class Measured(NamedTuple):
    """Exchanges a second, those that were dropped, and microseconds of Kea's processor time for an answer."""

    rate: float
    dropped: int
    cpu: float


def by_hand(directory: Path) -> Path:
    """The shortest configuration that knows the same machines."""
    reservations = [{"hw-address": host.mac, "ip-address": host.address} for host in HOSTS]
    config = {
        "interfaces-config": {"interfaces": [f"server/{SERVER}"]},
        "lease-database": {"type": "memfile", "name": str(directory / "hand.csv")},
        "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}],
        "subnet4": [
            {
                "id": 1,
                "subnet": LAB.cidr,
                "pools": [{"pool": " - ".join(LAB.dynamic[0])}],
                "option-data": [
                    {"name": "routers", "data": LAB.gateway},
                    {"name": "domain-name-servers", "data": SERVER},
                    {"name": "domain-name", "data": "metalwright.internal"},
                ],
                "reservations": reservations,
            }
        ],
    }
    path = directory / "hand.conf"
    path.write_text(json.dumps({"Dhcp4": config}))
    return path


def ours(directory: Path, namespace: NetworkNamespace) -> Path:
    """What the engine writes."""
    settings = Settings(
        data_dir=directory,
        node=Node(url=f"http://{SERVER}:5248"),
        dhcp=Dhcp(engine="kea+bind", interface="server"),
        tftp=Tftp(listen=f"{SERVER}:69"),
    )
    kea = KeaServer(settings, 4)
    kea.directory.mkdir(exist_ok=True)
    state = NetworkState((LAB,), HOSTS)
    kea.commit(namespace.run(lambda: kea.prepare(state, on_interface("server"))))
    return kea.configuration.path


@contextmanager
def serving(config: Path, namespace: NetworkNamespace) -> Iterator[int]:
    """Kea with this configuration; its process id. Its log is read as fast as it comes, and thrown away."""
    places = [f"{name}={config.parent}" for name in ("KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR")]
    command = namespace.command(["env", *places, "kea-dhcp4", "-c", str(config)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"DHCP4_STARTED" in line:
                break
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        time.sleep(SETTLE)
        yield process.pid
        process.terminate()
        reader.join()


def measure(config: Path, wires: tuple[NetworkNamespace, NetworkNamespace], macs: Path, rate: int) -> Measured:
    """perfdhcp against a Kea that has just started without leases."""
    for leases in config.parent.glob("*.csv*"):
        leases.unlink()
    server, client = wires
    with serving(config, server) as pid:
        before = _cpu(pid)
        command = ["perfdhcp", "-4", "-l", CLIENT, "-M", str(macs), "-R", str(MACHINES), "-r", str(rate), "-p", str(SECONDS)]
        said = subprocess.run(client.command([*command, "-W", "500000", "-d", "1", SERVER]), capture_output=True, text=True)
        spent = _cpu(pid) - before
    found = re.search(r"Rate: ([\d.]+)", said.stdout)
    assert found, said.stdout + said.stderr
    sent = [int(number) for number in re.findall(r"sent packets: (\d+)", said.stdout)]
    received = [int(number) for number in re.findall(r"received packets: (\d+)", said.stdout)]
    return Measured(float(found[1]), sent[0] - received[-1], 1e6 * spent / max(sum(received), 1))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(rounds: int) -> None:
    server, client = NetworkNamespace(), NetworkNamespace()
    try:
        server.ip("link", "add", "server", "type", "veth", "peer", "name", "client", "netns", client.name)
        for namespace, device, address in ((server, "server", SERVER), (client, "client", CLIENT)):
            namespace.ip("address", "add", f"{address}/16", "dev", device)
            namespace.ip("link", "set", device, "up")
        with tempfile.TemporaryDirectory() as base:
            directory = Path(base)
            macs = directory / "macs"
            macs.write_text("".join(f"{host.mac}\n" for host in HOSTS))
            configs = {"by hand": by_hand(directory), "ours": ours(directory, server)}
            for rate in (EASY, HARD):
                _compare(configs, (server, client), macs, rate, rounds)
    finally:
        server.remove()
        client.remove()


def _compare(
    configs: dict[str, Path], wires: tuple[NetworkNamespace, NetworkNamespace], macs: Path, rate: int, rounds: int
) -> None:
    measured: dict[str, list[Measured]] = {name: [] for name in configs}
    for number in range(rounds):
        for name, config in list(configs.items())[:: 1 if number % 2 else -1]:
            measured[name].append(measure(config, wires, macs, rate))
    print(f"{MACHINES} known machines, {rate} exchanges asked for in a second, {SECONDS} s, median of {rounds}")
    medians = {name: Measured(*map(statistics.median, zip(*runs, strict=True))) for name, runs in measured.items()}
    for name, (got, dropped, cpu) in medians.items():
        print(f"  {name:<8} {got:8.1f} exchanges/s  {dropped:7.0f} dropped  {cpu:6.1f} us of Kea's CPU an answer")
    hand, our = medians["by hand"], medians["ours"]
    print(f"  ratio    {our.rate / hand.rate:8.3f}                               {hand.cpu / our.cpu:6.3f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
