# SPDX-License-Identifier: GPL-3.0-or-later
"""The node plane's files beside nginx: the very same files over the same cable to the same clients.

Ours is the node plane of ``metalwright serve``, which looks each token up in its database. Each file is fetched once and compared
before it is measured; then the clients are one process (files_load.py) that counts and drops what it gets.
Run as root: make bench, or files.py [smoke]
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import peers
from files_load import Tally, Wish
from measured import Together, family, named
from sqlalchemy import select

from metalwright.images.importer import stored_path
from metalwright.lifecycle import tokens
from metalwright.lifecycle.deploy import written
from metalwright.sim import cabling
from metalwright.sim.cabling import Cabling
from metalwright.sim.throwaway import IMAGE, Throwaway
from metalwright.store import Store, sealed
from metalwright.store.base import utcnow
from metalwright.store.models import Image, Machine, Operation

MIB = 1 << 20
KERNEL, ROOT, DISK = "kernel", "agent's root", "image"
SIZES_MIB, SMALL_MIB = (8, 64, 128), (1, 2, 4)
OURS, NGINX = "Metalwright", "nginx"
WHERE = {OURS: (cabling.CONTROLLER, 5248), NGINX: (peers.ADDRESS, peers.NGINX_PORT)}
A_DAY = 86400


@dataclass(frozen=True)
class Load:
    """What is asked of a server: ``times`` times a file, or a part of so many bytes, by so many clients at once."""

    file: str
    clients: int
    times: int = 1
    part: int = 0

    @property
    def words(self) -> str:
        """For people."""
        part = f"{self.part // MIB} MiB of the " if self.part else ""
        return f"{part}{self.file}, {self.clients} client{'s' if self.clients > 1 else ''}"


LOADS = (
    Load(KERNEL, 1, 100),
    Load(KERNEL, 64, 10),
    Load(ROOT, 1, 50),
    Load(ROOT, 64, 2),
    Load(DISK, 1, 24),
    Load(DISK, 1, 200, part=16 * MIB),
    Load(DISK, 64, 8, part=16 * MIB),
)
SMOKE = (Load(KERNEL, 4), Load(ROOT, 1), Load(DISK, 4, part=MIB))


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
        return self.tally.bytes / 1e6 / self.tally.seconds

    @property
    def cpu_a_gb(self) -> float:
        """Seconds of the server's for 10**9 bytes; nothing when none came."""
        return self.cpu / (self.tally.bytes / 1e9) if self.tally.bytes else 0.0

    @property
    def failed(self) -> int:
        """Downloads that did not arrive."""
        return sum(self.tally.failures.values())


@dataclass(frozen=True)
class Served:
    """A file, and where each of the two has it."""

    file: Path
    paths: dict[str, str]


class Servers:
    """Both, with the same three files. This process moves into the clients' network namespace."""

    def __init__(self, directory: Path, sizes_mib: tuple[int, int, int]) -> None:
        peers.program("nginx")
        with ExitStack() as undo:
            cable = undo.enter_context(closing(Cabling()))
            peers.connect(cable)
            controller = undo.enter_context(closing(Throwaway(cable, sizes_mib=sizes_mib)))
            self._served = _served(controller)
            web = directory / "web"
            web.mkdir()
            for served in self._served.values():
                (web / served.paths[NGINX].lstrip("/")).symlink_to(served.file)
            controller.start()
            assert controller.pid is not None
            nginx = undo.enter_context(closing(peers.nginx(cable, web, directory)))
            nginx.await_start(lambda: self._fetched(KERNEL, NGINX))
            ours = named(controller.pid, "mw-node")
            self._processes = {
                OURS: undo.enter_context(closing(Together(ours))),
                NGINX: undo.enter_context(closing(Together(*family(nginx.pid)))),
            }
            self.close = undo.pop_all().close

    def measure(self, load: Load, server: str) -> Row:
        """Have the clients, in a process of their own, ask one of the servers."""
        assert self._fetched(load.file, server), f"{server} sends another {load.file}"
        processes, served = self._processes[server], self._served[load.file]
        wish = Wish(WHERE[server], served.paths[server], served.file.stat().st_size, load.clients, load.times, load.part)
        before = processes.seconds()
        command = [sys.executable, str(Path(__file__).with_name("files_load.py")), json.dumps(asdict(wish))]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        row = Row(load, server, processes.seconds() - before, Tally(**json.loads(done.stdout)))
        print(line(row, None), row.tally.failures or "", file=sys.stderr, flush=True)
        return row

    def _fetched(self, file: str, server: str) -> bool:
        served = self._served[file]
        with closing(http.client.HTTPConnection(*WHERE[server], timeout=30)) as connection:
            try:
                connection.request("GET", served.paths[server])
                return connection.getresponse().read() == served.file.read_bytes()
            except OSError:
                return False


def _served(controller: Throwaway) -> dict[str, Served]:
    """The agent's files are for everyone; the image is for a machine that writes it, so one is written down that does."""
    data = controller.directory / "data"
    sealed.unlock(data / "secret.key", new=False)
    store = Store(f"sqlite:///{data}/metalwright.db")
    with store.write() as session:
        image = session.scalars(select(Image).where(Image.name == IMAGE)).one()
        assert image.content_sha256 is not None
        machine = Machine(name="m-1", state="deploying")
        operation = Operation(
            kind="deploy", machine=machine, state="running", from_state="ready", phase="install", parameters=written(image)
        )
        session.add(operation)
        session.flush()
        machine.operation_id = operation.id
        token = tokens.mint(session, operation, utcnow, A_DAY)
        stored = stored_path(data / "images", image.content_sha256)
    store.engine.dispose()
    agent = (data / "boot/agent/current").resolve()
    boot = f"/boot/agent/{agent.name}"
    return {
        KERNEL: Served(agent / "vmlinuz", {OURS: f"{boot}/vmlinuz", NGINX: "/kernel"}),
        ROOT: Served(agent / "initrd.img", {OURS: f"{boot}/initrd.img", NGINX: "/root"}),
        DISK: Served(stored, {OURS: f"/files/{token}/image", NGINX: "/image"}),
    }


def measure(loads: tuple[Load, ...], sizes_mib: tuple[int, int, int]) -> list[Row]:
    """Both servers under all loads; those of one load right after each other."""
    with tempfile.TemporaryDirectory() as directory:
        with closing(Servers(Path(directory), sizes_mib)) as servers:
            return [servers.measure(load, server) for load in loads for server in (OURS, NGINX)]


def line(row: Row, beside: Row | None) -> str:
    """A row of the table, with what another takes of a CPU for the same."""
    ratio = f"{beside.cpu_a_gb / row.cpu_a_gb:.2f}" if beside else ""
    busy = row.tally.cpu / row.tally.seconds
    return (
        f"| {row.load.words} | {row.server} | {row.rate:,.0f} MB/s | {row.cpu_a_gb * 1000:.0f} ms | {ratio} "
        f"| {busy:.0%} | {row.failed} |"
    )


def table(rows: list[Row]) -> list[str]:
    """Lines of Markdown."""
    beside = {row.load: row for row in rows if row.server == NGINX}
    lines = [
        "| file, clients | server | throughput | CPU a GB | of nginx, for the same CPU | clients' CPU | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [line(row, beside[row.load]) for row in rows]


def main() -> None:
    """Print the table. Ends with an error when one of our downloads failed."""
    rows = measure(SMOKE, SMALL_MIB) if sys.argv[1:] == ["smoke"] else measure(LOADS, SIZES_MIB)
    print("\n".join(table(rows)))
    if failed := sum(row.failed for row in rows if row.server == OURS):
        raise SystemExit(f"{failed} downloads failed")


if __name__ == "__main__":
    main()
