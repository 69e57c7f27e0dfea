# SPDX-License-Identifier: GPL-3.0-or-later
"""A real controller with short deadlines, reached by machines over a cable that can be spoilt, and what it has to deploy."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
import verdicts
from cable import Cable
from played_machine import PlayedMachine
from processes import until
from running_controller import RunningController
from tiny_disks import make_image

from metalwright.agent.disks import Disk
from metalwright.config import Settings
from metalwright.store import Store
from metalwright.store.models import Interface, Machine

BUILD = "0123456789abcdef"
DEADLINES = """
[deadlines]
netboot = 2
boot = 2
heartbeat = 4
first_boot = 3
power = 20
netboot_attempts = 2
"""
OVER = ("succeeded", "failed", "aborted")


class Site:
    """Made once for all tests of a module: they do not disturb each other, each has a machine of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cable = Cable()
        self.controller = RunningController(directory, DEADLINES, node_url=f"http://127.0.0.1:{self.cable.port}")
        self.cable.target = self.controller.node_port
        config = self.controller.config
        config.write_text(f"heartbeat = 1\n{config.read_text()}")
        boot = self.controller.data / "boot" / "agent"
        (boot / BUILD).mkdir(parents=True)
        (boot / "current").symlink_to(BUILD)
        (boot / BUILD / "vmlinuz").write_bytes(b"kernel")
        (boot / BUILD / "initrd.img").write_bytes(b"root")
        self.session = requests.Session()
        client = tomllib.loads((directory / "xdg/metalwright/client.toml").read_text())
        self.session.headers["Authorization"] = f"Bearer {client['token']}"
        self._machines: list[PlayedMachine] = []

    def open(self) -> None:
        """Start the controller and give it a subnet, which machines that are played here never use."""
        self.controller.start()
        static = {"kind": "static", "start": "10.99.0.10", "end": "10.99.0.99"}
        dynamic = {"kind": "dynamic", "start": "10.99.0.100", "end": "10.99.0.200"}
        self.api("POST", "/subnets", {"name": "lan", "cidr": "10.99.0.0/24", "ranges": [static, dynamic]})

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for machine in self._machines:
            machine.turn_off()
        self.controller.stop()
        self.cable.close()

    def add_image(self, name: str, **kind: bool) -> str:
        """Import an image that ``make_image`` makes."""
        path = make_image(self.directory / f"{name.replace('/', '-')}.raw", **kind)
        done = self.controller.cli("image", "import", str(path), "--name", name, "--config", str(self.controller.config))
        assert done.returncode == 0, done.stderr
        return name

    def api(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.session.request(method, f"{self.controller.url}/api/v1{path}", json=body, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None

    def machine(
        self, name: str, *disks: Disk, power: dict[str, Any] | None = None, seen: tuple[str, ...] = (), like: str = ""
    ) -> PlayedMachine:
        """A machine with the given disks, as commissioning left it. ``seen`` are names of disks that it had then, all of 8 GiB.

        ``like`` is another machine whose system UUID and serial number it says it has, which commissioning could not know.
        """
        number = len(self._machines)
        mac, uuid = f"52:54:00:fa:11:{number:02x}", f"5a1f0000-0000-4000-8000-{number:012x}"
        serial = f"serial-{number}"
        for other in self._machines:
            if other.name == like:
                uuid, serial = other.uuid, other.serial
        url = f"http://127.0.0.1:{self.cable.port}"
        played = PlayedMachine(name, mac, uuid, serial, url, self.directory / f"{name}.console", disks=list(disks))
        self._machines.append(played)
        self.api("POST", "/machines", {"name": name, "macs": [mac], "power": power or {"driver": "manual"}, "firmware": "bios"})
        store = Store(Settings(data_dir=self.controller.data).database)
        with store.write() as session:
            row = session.query(Machine).join(Interface).filter(Interface.mac == mac).one()
            found = [*seen, *(disk.name for disk in disks)]
            facts = [{"name": each, "size_bytes": 8 << 30, "rotational": False, "removable": False} for each in found]
            row.state, row.hardware = "ready", {"disks": facts}
            row.system_uuid, row.serial = (None, None) if like else (uuid, serial)
            row.cpu_count, row.memory_mib, row.disk_gib = 2, 2048, 8
        store.engine.dispose()
        return played

    def start(self, name: str, kind: str, **body: Any) -> dict[str, Any]:
        """Begin an operation."""
        operation: dict[str, Any] = self.api("POST", f"/machines/{name}/{kind}", body)["operation"]
        return operation

    def ended(self, operation: dict[str, Any], within: float = 40) -> dict[str, Any]:
        """The operation when it has ended."""
        found: dict[str, Any] = self.api("GET", f"/operations/{operation['id']}?wait={within}")
        assert found["state"] in OVER, found
        return found

    def in_phase(self, operation: dict[str, Any], phase: str) -> None:
        """Wait until the operation has come so far."""
        until(lambda: self.api("GET", f"/operations/{operation['id']}")["phase"] == phase, f"{operation['kind']} is in {phase}")

    def turned_on(self, operation: dict[str, Any], times: int = 1) -> None:
        """Wait until the machine was told to boot from the network, for the first or a later time: it does so no earlier."""
        kind = "power.netboot"
        what = f"the machine is turned on, {times}. time"
        until(lambda: sum(event["kind"] == kind for event in self.events(operation)) >= times, what)

    def boot(self, machine: PlayedMachine, operation: dict[str, Any], times: int = 1, **other: Any) -> subprocess.Popen[bytes]:
        """Boot a machine until its agent runs; ``other`` replaces what it says of itself."""
        self.turned_on(operation, times)
        return machine.boot(**other)

    def events(self, operation: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"/events?operation={operation['id']}&limit=1000")["events"]
        return found

    def failed(
        self,
        failure: str,
        operation: dict[str, Any],
        code: str,
        *,
        cause: datetime,
        says: tuple[str, ...] = (),
        after: str = "failed",
        back: Callable[[], str],
    ) -> dict[str, Any]:
        """Assert how the operation ends and what is told; then bring the machine back with ``back``, which says how."""
        ended = self.ended(operation)
        name = ended["machine"]["name"]
        said = ended["failure"]
        assert (said["code"], ended["state"]) == (code, "aborted" if code == "aborted" else "failed"), said
        assert name in said["message"], said["message"]
        for part in says:
            assert part in said["message"], said["message"]
        assert said["docs"].endswith(f"#{code}")
        machine = self.api("GET", f"/machines/{name}")
        assert (machine["state"], machine["operation"]) == (after, None)
        if after == "failed":
            assert said["hint"]
            assert machine["failure"] == said
        told = [event for event in self.events(operation) if event["kind"] in ("operation.failed", "operation.aborted")]
        assert [event["data"].get("code", "aborted") for event in told] == [code]
        brought = back()
        machine = self.api("GET", f"/machines/{name}")
        assert (machine["state"], machine["failure"], machine["operation"]) == ("ready", None, None)
        verdicts.ALL.add(failure, ended, cause=cause, after=after, back=brought)
        return ended

    def release(self, machine: PlayedMachine) -> Callable[[], str]:
        """Bring a machine back by releasing it: the agent wipes what is left on its disks."""

        def back() -> str:
            machine.turn_off()
            operation = self.start(machine.name, "release", erase="quick")
            self.boot(machine, operation)
            ended = self.ended(operation)
            assert ended["state"] == "succeeded", ended["failure"]
            return "release"

        return back
