# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control plane costs, beside Ironic on the same host in the same run: all-in-one, fake hardware, SQLite both.

Ironic comes from PyPI into a virtual environment of its own (``IRONIC_VENV``, else one is made in the user's cache). Both are
asked over HTTP from this process.
Run: make bench
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from measured import cpu_seconds, pss
from sqlalchemy import select

from metalwright.sim.cabling import SUBNET
from metalwright.sim.fleet import Fleet, Where
from metalwright.sim.hardware import Hardware
from metalwright.sim.throwaway import IMAGE, Throwaway
from metalwright.sim.wishes import Wishes
from metalwright.store import Store, sealed
from metalwright.store.models import Machine

CLIENTS = 8
MACHINES = 1000
AT_ONCE = 50
ALLOCATIONS = 20
MIB = 1 << 20
IRONIC_PORT = 6385
VERBS = {"manage": "manageable", "provide": "available", "active": "active", "deleted": "available"}


class Figures(dict[str, float]):
    """What was measured, by name of the row; told on standard error as it comes."""

    def __init__(self, side: str) -> None:
        super().__init__()
        self._side = side

    def __setitem__(self, row: str, value: float) -> None:
        super().__setitem__(row, value)
        print(f"{self._side}: {row}: {value:.2f}", file=sys.stderr, flush=True)


class Side:
    """One of the two, and what was measured of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures = Figures(name)


@dataclass(frozen=True)
class Row:
    """A line of the table; ``less``: the smaller figure is the better one."""

    name: str
    unit: str
    less: bool = True
    digits: int = 0


START, IDLE = "start until the API answers", "idle memory, PSS of all processes"
LIST, LOST = "list 1,000 machines with detail, p50", "20 allocations at once: not satisfied after 20 s"
ALLOCATED, LIFECYCLES = "20 allocations at once", "50 lifecycles at once"
CPU = "CPU a lifecycle, of all its processes"
ROWS = (
    Row(START, "s", digits=2),
    Row(IDLE, "MiB"),
    Row("create a machine, 1 client", "/s", less=False),
    Row("create a machine, 8 clients", "/s", less=False),
    Row("get a machine, 1 client", "/s", less=False),
    Row("get a machine, 8 clients", "/s", less=False),
    Row(LIST, "ms"),
    Row(LOST, ""),
    Row(ALLOCATED, "s", digits=2),
    Row(LIFECYCLES, "s", digits=1),
    Row(CPU, "ms"),
)
IRONIC = """
[DEFAULT]
auth_strategy = noauth
rpc_transport = none
enabled_hardware_types = fake-hardware
enabled_bios_interfaces = fake
enabled_boot_interfaces = fake
enabled_console_interfaces = fake
enabled_deploy_interfaces = fake
enabled_firmware_interfaces = fake
enabled_inspect_interfaces = fake
enabled_management_interfaces = fake
enabled_network_interfaces = noop
enabled_power_interfaces = fake
enabled_raid_interfaces = fake
enabled_rescue_interfaces = fake
enabled_storage_interfaces = noop
enabled_vendor_interfaces = fake
state_path = {directory}
tempdir = {directory}
[database]
connection = sqlite:///{directory}/ironic.sqlite
[api]
host_ip = 127.0.0.1
port = {port}
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:{port}
"""


class Client:
    """A connection for each thread, kept open and opened again when it breaks, as every client of Ironic has to.

    By ``http.client``: with ``requests``, half the time of a small call and of the processors would be the client's.
    """

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        parts = urlsplit(base)
        self._address, self._path = parts.netloc, parts.path
        self._headers = headers | {"Content-Type": "application/json"}
        self._of_thread = threading.local()

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        text = None if body is None else json.dumps(body)
        for _ in range(5):
            try:
                status, said = self._exchange(method, self._path + path, text)
            except (OSError, http.client.HTTPException) as error:
                self._of_thread.connection.close()  # opens again by itself
                status, said = 0, str(error).encode()
                continue
            if status not in (409, 503):
                break
            time.sleep(0.2)
        assert 200 <= status < 300, f"{method} {path}: {status} {said[:300]!r}"
        return json.loads(said) if said else None

    def _exchange(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = http.client.HTTPConnection(self._address, timeout=60)
        connection: http.client.HTTPConnection = self._of_thread.connection
        connection.request(method, path, body, self._headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def rate(act: Callable[[int], Any], numbers: range, clients: int) -> float:
    """Calls a second."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(act, numbers))
    return len(numbers) / (time.perf_counter() - began)


def median_ms(act: Callable[[], Any], times: int = 5) -> float:
    """Of several runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def until(look: Callable[[], bool], seconds: float) -> bool:
    """Look until it is so; False when it is not in time."""
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def metalwright() -> Side:
    """A throw-away controller. A lifecycle: a simulated machine, which makes every call, is commissioned and deployed."""
    side = Side("Metalwright")
    controller = Throwaway(None, "[limits]\nworkers = 16\ncalls_per_bmc = 50\n[power]\npoll_seconds = 0\n")
    try:
        began = time.perf_counter()
        controller.start()
        side.figures[START] = time.perf_counter() - began
        assert controller.pid is not None
        time.sleep(3)
        side.figures[IDLE] = pss(controller.pid) / MIB
        headers = {"Authorization": f"Bearer {controller.access.token}"}
        ask = Client(f"{controller.access.url}/api/v1", headers)
        power = {"driver": "manual"}
        _crud(
            side,
            lambda number: ask("POST", "/machines", {"name": f"m-{number}", "macs": [Hardware(number, 1).mac()], "power": power}),
            lambda number: ask("GET", f"/machines/m-{number}"),
        )
        _commissioned(controller)
        side.figures[LIST] = median_ms(lambda: ask("GET", f"/machines?limit={MACHINES}"))

        def satisfied() -> int:
            return sum(len(each["machines"]) == 1 for each in ask("GET", "/allocations")["items"])

        _allocate(side, lambda n: ask("PUT", f"/allocations/a-{n}", {"count": 1}), satisfied)
    finally:
        controller.close()
    _simulated(side)
    return side


def _simulated(side: Side) -> None:
    """The lifecycles, with a controller of their own, by machines that make every call a machine makes."""
    controller = Throwaway(None, "[limits]\ninstalls = 50\nworkers = 16\ncalls_per_bmc = 16\n[power]\npoll_seconds = 0\n")
    try:
        controller.start()
        assert controller.pid is not None
        before = cpu_seconds(controller.pid)
        where = Where(controller.access, controller.node_url, IMAGE, subnet=SUBNET)
        report = asyncio.run(Fleet(Wishes(count=AT_ONCE), where).run(patience=600, keep=True))
        assert report.deployed == AT_ONCE, report.as_dict()
        side.figures[LIFECYCLES] = report.seconds
        side.figures[CPU] = (cpu_seconds(controller.pid) - before) / AT_ONCE * 1000
    finally:
        controller.close()


def _crud(side: Side, create: Callable[[int], Any], get: Callable[[int], Any]) -> None:
    side.figures["create a machine, 1 client"] = rate(create, range(100), 1)
    side.figures["create a machine, 8 clients"] = rate(create, range(100, MACHINES), CLIENTS)
    side.figures["get a machine, 1 client"] = rate(get, range(200), 1)
    side.figures["get a machine, 8 clients"] = rate(get, range(400), CLIENTS)


def _commissioned(controller: Throwaway) -> None:
    """Give every machine the inventory that its agent would have sent, and have it ready: the lists are as long as in life."""
    sealed.unlock(controller.directory / "data/secret.key", new=False)
    store = Store(f"sqlite:///{controller.directory}/data/metalwright.db")
    with store.write() as session:
        for number, machine in enumerate(session.scalars(select(Machine).order_by(Machine.name))):
            inventory = Hardware(number, 1).inventory()
            machine.state, machine.hardware, machine.cpu_count, machine.memory_mib = "ready", inventory, 64, 1 << 18
    store.engine.dispose()


def _allocate(side: Side, claim: Callable[[int], Any], satisfied: Callable[[], int]) -> None:
    began = time.perf_counter()
    rate(claim, range(ALLOCATIONS), CLIENTS)
    until(lambda: satisfied() == ALLOCATIONS, 20)
    side.figures[LOST] = ALLOCATIONS - satisfied()
    side.figures[ALLOCATED] = time.perf_counter() - began


def ironic() -> Side:
    """All-in-one Ironic with its fake hardware; a lifecycle is manage, provide, active, deleted, which do nothing behind it."""
    side = Side("Ironic")
    with tempfile.TemporaryDirectory(prefix="ironic-") as directory:
        config = Path(directory) / "ironic.conf"
        config.write_text(IRONIC.format(directory=directory, port=IRONIC_PORT))
        programs = _ironic_venv() / "bin"
        schema = [programs / "ironic-dbsync", "--config-file", config, "create_schema"]
        subprocess.run(schema, check=True, capture_output=True)
        began = time.perf_counter()
        with (Path(directory) / "log").open("wb") as log:
            process = subprocess.Popen([programs / "ironic", "--config-file", config], stdout=log, stderr=log)
        try:
            ask = Client(f"http://127.0.0.1:{IRONIC_PORT}/v1", {"X-OpenStack-Ironic-API-Version": "1.80"})
            assert until(lambda: _there(f"http://127.0.0.1:{IRONIC_PORT}/v1"), 60), (Path(directory) / "log").read_text()[-2000:]
            side.figures[START] = time.perf_counter() - began
            time.sleep(3)
            side.figures[IDLE] = pss(process.pid) / MIB
            _of_ironic(side, ask, process.pid)
        finally:
            process.terminate()
            process.wait()
    return side


def _of_ironic(side: Side, ask: Client, pid: int) -> None:
    def create(number: int) -> None:
        body = {"driver": "fake-hardware", "name": f"m-{number}", "resource_class": "metal", "extra": {}}
        ask("POST", "/nodes", {**body, "properties": {"inventory": Hardware(number, 1).inventory()}})

    def verb(name: str, target: str, reached: str) -> None:
        ask("PUT", f"/nodes/{name}/states/provision", {"target": target})
        assert until(lambda: ask("GET", f"/nodes/{name}?fields=provision_state")["provision_state"] == reached, 300), name

    def life(number: int) -> None:
        for target, reached in (
            ("manage", "manageable"),
            ("provide", "available"),
            ("active", "active"),
            ("deleted", "available"),
        ):
            verb(f"m-{number}", target, reached)

    def available(number: int) -> None:
        verb(f"m-{number}", "manage", "manageable")
        verb(f"m-{number}", "provide", "available")

    _crud(side, create, lambda number: ask("GET", f"/nodes/m-{number}"))
    side.figures[LIST] = median_ms(lambda: ask("GET", f"/nodes?detail=true&limit={MACHINES}"))
    before, began = cpu_seconds(pid), time.perf_counter()
    rate(life, range(AT_ONCE), AT_ONCE)
    side.figures[LIFECYCLES] = time.perf_counter() - began
    side.figures[CPU] = (cpu_seconds(pid) - before) / AT_ONCE * 1000
    rate(available, range(AT_ONCE, AT_ONCE + ALLOCATIONS), CLIENTS)

    def active() -> int:
        return sum(each["state"] == "active" for each in ask("GET", "/allocations")["allocations"])

    _allocate(side, lambda n: ask("POST", "/allocations", {"name": f"a-{n}", "resource_class": "metal"}), active)


def _there(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def _ironic_venv() -> Path:
    """Made once for this user; Ironic brings a hundred packages."""
    place = Path(os.environ.get("IRONIC_VENV") or Path.home() / ".cache/metalwright/ironic")
    if not (place / "bin/ironic").exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin/pip", "install", "--quiet", "ironic"], check=True)
    return place


def table(ours: Side, theirs: Side) -> list[str]:
    """Lines of Markdown; a ratio above 1 speaks for us."""
    lines = [f"| what | {ours.name} | {theirs.name} | times better |", "|---|---|---|---|"]
    for row in ROWS:
        mine, other = ours.figures[row.name], theirs.figures[row.name]
        ratio = (other / mine if row.less else mine / other) if mine and other else None
        shown = "" if ratio is None else f"{ratio:.1f}"
        lines.append(f"| {row.name} | {mine:.{row.digits}f} {row.unit} | {other:.{row.digits}f} {row.unit} | {shown} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table(metalwright(), ironic())))
