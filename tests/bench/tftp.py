# SPDX-License-Identifier: GPL-3.0-or-later
"""TFTP beside tftpd-hpa and dnsmasq: the same files over the same cable to the same clients, each server as it is run.

Ours is the one of ``metalwright serve``; its CPU is that of its TFTP service, with the log and the database that it keeps. The
clients are one process (tftp_load.py), and compare all they get.
Run as root: make bench, or tftp.py [smoke | full]. ``full`` has 1,100 clients fetch 20 MB each as well: 22 GB for each server.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import peers
from measured import Together, named
from tftp_load import Tally, Wish

from metalwright.sim import cabling
from metalwright.sim.cabling import Cabling
from metalwright.sim.throwaway import Throwaway

MB = 1_000_000
LOADER, LARGE = ("loader.efi", 1 * MB), ("large.efi", 20 * MB)
BLOCK = 1468
"""The largest that fits into a frame of Ethernet; UEFI's firmware and iPXE ask for about that."""
WINDOW = 4
"""What EDK2 asks for where windows are turned on (RFC 7440); neither of the others knows them."""
OURS, TFTPD, DNSMASQ = "Metalwright", "tftpd-hpa", "dnsmasq"
OPEN_FILES = 8192
FIRST = "198.18.4.1"


@dataclass(frozen=True)
class Load:
    """What is asked of a server: ``times`` times a file of ``size`` bytes, by so many clients at once."""

    file: str
    size: int
    clients: int
    times: int = 1
    window: int = 1

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.size // MB} MB, {self.clients:,} client{'s' if self.clients > 1 else ''}"


LOADS = (
    Load(*LOADER, clients=1, times=60),
    Load(*LOADER, clients=64, times=3),
    Load(*LOADER, clients=1100),
    Load(*LARGE, clients=1, times=4),
    Load(*LARGE, clients=64),
)
FULL = (*LOADS, Load(*LARGE, clients=1100))
SMOKE = (Load(*LOADER, clients=1), Load(*LOADER, clients=8))


@dataclass(frozen=True)
class Row:
    """One server under one load. ``cpu`` is the server's, in seconds."""

    load: Load
    server: str
    cpu: float
    tally: Tally

    @property
    def rate(self) -> float:
        """MB a second."""
        return self.tally.bytes / MB / self.tally.seconds

    @property
    def failed(self) -> int:
        """Downloads that did not arrive."""
        return sum(self.tally.failures.values())


class Servers:
    """All of them, with the same two files. This process moves into the clients' network namespace."""

    def __init__(self, directory: Path) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, max(OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        for program in ("in.tftpd", "dnsmasq"):
            peers.program(program)
        with ExitStack() as undo:
            cable = undo.enter_context(closing(Cabling()))
            peers.connect(cable)
            controller = undo.enter_context(closing(Throwaway(cable, sizes_mib=(1, 1, 1))))
            self._root = controller.directory / "data/boot/loaders"
            for name, size in (LOADER, LARGE):
                (self._root / name).write_bytes(os.urandom(size))
            controller.start()
            assert controller.pid is not None
            tftpd = undo.enter_context(closing(peers.tftpd(cable, self._root, directory / "tftpd.log")))
            dnsmasq = undo.enter_context(closing(peers.dnsmasq(cable, self._root, directory / "dnsmasq.log", OPEN_FILES // 2)))
            tftpd.await_start(self._answers((peers.ADDRESS, peers.TFTPD_PORT)))
            dnsmasq.await_start(self._answers((peers.ADDRESS, 69)))
            ours = named(controller.pid, "mw-tftp")
            self._all = {
                OURS: (undo.enter_context(closing(Together(ours))), (cabling.CONTROLLER, 69)),
                TFTPD: (undo.enter_context(closing(Together(tftpd.pid))), (peers.ADDRESS, peers.TFTPD_PORT)),
                DNSMASQ: (undo.enter_context(closing(Together(dnsmasq.pid))), (peers.ADDRESS, 69)),
            }
            self.close = undo.pop_all().close

    def measure(self, load: Load, server: str) -> Row:
        """Have the clients, in a process of their own, ask one of the servers."""
        processes, where = self._all[server]
        wish = Wish(where, str(self._root / load.file), load.clients, load.times, BLOCK, load.window, FIRST)
        before = processes.seconds()
        command = [sys.executable, str(Path(__file__).with_name("tftp_load.py")), json.dumps(asdict(wish))]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        row = Row(load, server, processes.seconds() - before, Tally(**json.loads(done.stdout)))
        print(line(row, None), row.tally.failures or "", file=sys.stderr, flush=True)
        return row

    def _answers(self, where: tuple[str, int]) -> Callable[[], bool]:
        def ask() -> bool:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.settimeout(0.5)
                probe.sendto(b"\0\1nothing\0octet\0", where)
                try:
                    return probe.recvfrom(512)[0][:2] == b"\0\5"
                except OSError:
                    return False

        return ask


def measure(loads: tuple[Load, ...]) -> list[Row]:
    """All servers under all loads; those of one load right after each other."""
    with tempfile.TemporaryDirectory() as directory:
        with closing(Servers(Path(directory))) as servers:
            rows = []
            for load in loads:
                rows += [servers.measure(load, server) for server in (OURS, TFTPD, DNSMASQ)]
                windows = Load(load.file, load.size, load.clients, load.times, WINDOW)
                rows.append(servers.measure(windows, OURS))
            return rows


def line(row: Row, beside: Row | None) -> str:
    """A row of the table, with the ratio to another's throughput."""
    server = row.server if row.load.window == 1 else f"{row.server}, windows of {row.load.window}"
    ratio = f"{row.rate / beside.rate:.2f}" if beside else ""
    cpu = row.cpu / (row.tally.bytes / (1000 * MB)) if row.tally.bytes else 0.0
    busy = row.tally.cpu / row.tally.seconds
    measured = f"{row.rate:.1f} MB/s | {ratio} | {cpu:.1f} s | {busy:.0%} | {row.tally.again} | {row.failed}"
    return f"| {row.load.words} | {server} | {measured} |"


def table(rows: list[Row]) -> list[str]:
    """Lines of Markdown."""
    beside = {row.load: row for row in rows if row.server == TFTPD}
    lines = [
        "| file, clients | server | throughput | of tftpd-hpa | CPU a GB | clients' CPU | asked again | failed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(line(row, beside[Load(row.load.file, row.load.size, row.load.clients, row.load.times)]))
    return lines


def main() -> None:
    """Print the table. Ends with an error when one of our downloads failed."""
    rows = measure({"smoke": SMOKE, "full": FULL}.get("".join(sys.argv[1:]), LOADS))
    print("\n".join(table(rows)))
    if failed := sum(row.failed for row in rows if row.server == OURS):
        raise SystemExit(f"{failed} downloads failed")


if __name__ == "__main__":
    main()
