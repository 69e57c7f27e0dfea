# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to change DHCP and DNS: 10,000 reservations with a name each, then one more, changed, and gone.

Run as root: tests/bench/network.py [--hosts N] [ENGINE ...]. Everything happens in network namespaces; the engines are the real
ones. When a change is there is seen by clients: a DNS query and a DHCP DISCOVER, asked again and again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "controller" / "network"))

import structlog  # noqa: E402
from dhcp_client import DhcpClient, Namespace  # noqa: E402
from engines_under_test import ENGINES  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from running_engine import Running  # noqa: E402

from metalwright.network.model import Domain, Host, Network, NetworkState, Record  # noqa: E402

HOSTS = 10_000
REPEATS = 5
FEW = 100
"""With no more hosts than that it is about whether it works, and once is enough."""
SITE = Network("big", "big", "10.0.0.0/8", gateway="10.0.0.254", dynamic=(("10.9.0.0", "10.9.255.255"),))


def host(number: int, address: int | None = None) -> Host:
    """The host of that number: its address is free for others to have."""
    mac = f"52:54:{number >> 24:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    where = str(IPv4Address("10.99.0.0") + (address if address is not None else number) + 256)
    return Host(f"m{number:05d}", mac, where, "big", f"host{number}", "big.example")


def state(hosts: int, *more: Host) -> NetworkState:
    """A subnet with that many hosts, and more."""
    all_of = (*(host(number) for number in range(hosts)), *more)
    return NetworkState((SITE,), all_of, (Domain("big.example"), Domain("metalwright.internal")))


class Measured:
    """One engine in a namespace of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        self.namespace = Namespace("10.99.0.1/8")
        self.running = Running(self.namespace, ENGINES[name](directory))
        self.client = DhcpClient(self.namespace)

    def close(self) -> None:
        self.running.stop()
        self.client.close()
        self.namespace.remove()

    def seen(self, apply: Callable[[], object], answers: Callable[[], bool]) -> tuple[float, float]:
        """Seconds until ``apply`` came back, and until clients saw what it did; both from its beginning."""
        began = time.perf_counter()
        apply()
        applied = time.perf_counter() - began
        while not answers():
            if time.perf_counter() - began > 60:
                raise SystemExit("the change was not seen for 60 s\n" + "\n".join(self.running.log[-20:]))
        return applied, time.perf_counter() - began

    def has(self, known: Host) -> bool:
        """Whether DNS and DHCP know a host."""
        named = self.running.ask(f"{known.name}.big.example") == ("NOERROR", [known.address])
        if not named or known.mac is None:
            return False
        offer = self.client.ask(known.mac, patience=1)
        return offer is not None and offer.address == known.address

    def has_not(self, gone: Host) -> bool:
        """Whether DNS has forgotten a host, and DHCP gives its card an address of anyone."""
        if self.running.ask(f"{gone.name}.big.example")[0] != "NXDOMAIN" or gone.mac is None:
            return False
        offer = self.client.ask(gone.mac, patience=1)
        return offer is not None and offer.address != gone.address

    def has_alias(self) -> bool:
        """Whether the alias is answered, with the address it leads to."""
        return len(self.running.ask("alias.big.example")[1]) == 2

    def cpu(self) -> float:
        """Seconds of CPU that the engine's processes and this one have had."""
        ticks = os.sysconf("SC_CLK_TCK")
        own = time.process_time()
        for pid in self.running.pids:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            own += (int(words[11]) + int(words[12])) / ticks
        return own


def measure(name: str, hosts: int, table: Table) -> None:
    """Fill in the rows of one engine."""
    with tempfile.TemporaryDirectory() as directory:
        measured = Measured(name, Path(directory))
        try:
            measured.running.start(state(0))
            before = measured.cpu()
            last = host(hosts - 1)
            applied, seen = measured.seen(lambda: measured.running.apply(state(hosts)), lambda: measured.has(last))
            table.add_row(name, f"first {hosts:,} hosts", f"{applied:.2f} s", f"{seen:.2f} s", f"{measured.cpu() - before:.2f} s")
            pids = measured.running.pids
            new, moved = host(hosts), host(hosts, hosts + 1)
            steps: list[tuple[str, NetworkState, Callable[[], bool]]] = [
                ("one host more", state(hosts, new), lambda: measured.has(new)),
                ("its address changed", state(hosts, moved), lambda: measured.has(moved)),
                (
                    "its name changed",
                    state(hosts, replace(moved, name="other")),
                    lambda: measured.has(replace(moved, name="other")),
                ),
                ("it is gone", state(hosts), lambda: measured.has_not(replace(moved, name="other"))),
            ]
            found: dict[str, list[tuple[float, float, float]]] = {}
            for _ in range(1 if hosts <= FEW else REPEATS):
                for what, wanted, answers in steps:
                    before = measured.cpu()
                    times = measured.seen(lambda wanted=wanted: measured.running.apply(wanted), answers)  # type: ignore[misc]
                    found.setdefault(what, []).append((*times, measured.cpu() - before))
            for what, all_of in found.items():
                middle = [sorted(values)[len(values) // 2] * 1000 for values in zip(*all_of, strict=True)]
                table.add_row(name, what, *(f"{value:.0f} ms" for value in middle))
            applied, _ = measured.seen(lambda: measured.running.apply(state(hosts)), lambda: True)
            table.add_row(name, "nothing changed", f"{applied * 1000:.0f} ms", "", "")
            table.add_row(name, "restarts on the way", "0" if measured.running.pids == pids else "some", "", "")
            alias = replace(
                state(hosts), domains=(Domain("big.example", records=(Record("alias", "CNAME", "host1.big.example"),)),)
            )
            applied, seen = measured.seen(lambda: measured.running.apply(alias), measured.has_alias)
            started = "" if measured.running.pids == pids else ", by a start"
            table.add_row(name, f"a CNAME more{started}", f"{applied * 1000:.0f} ms", f"{seen * 1000:.0f} ms", "")
        finally:
            measured.close()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=HOSTS)
    parser.add_argument("engines", nargs="*", default=list(ENGINES))
    wanted = parser.parse_args()
    table = Table("engine", "change", "applied", "seen by clients", "CPU", title=f"{wanted.hosts:,} reservations and names")
    for name in wanted.engines:
        measure(name, wanted.hosts, table)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
