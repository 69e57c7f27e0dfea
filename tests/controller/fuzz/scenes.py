# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments in the life of a machine in which it is listened to, each on a database that is put back in no time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from node_world import ADDRESS, MAC, UUID, Clock, World, inventory, settings_in

from metalwright.api.auth import issue
from metalwright.app import create_admin_app
from metalwright.lifecycle import script_catalogue
from metalwright.lifecycle.operations import Signal

PAGES = (
    "/machines",
    "/machines/{machine}",
    "/machines/{machine}/timeline?operation={operation}",
    "/machines/{machine}/explain",
    "/machines/{machine}/network",
    "/machines/{machine}/scripts",
    "/operations",
    "/operations/{operation}",
    "/operations/{operation}/console",
    "/events?limit=1000",
    "/addresses",
    "/rules/rack/matches",
)
SCRIPT = "#!/bin/sh\n# --- metalwright\n# name: look\n# kind: test\n# title: Looks\n# automatic: true\n# ---\nexit 0\n"


@dataclass
class Moment:
    """A kept database, and what leads on from there."""

    file: Path
    operation: str
    token: str
    run: str


class Stage:
    """A node plane, the admin plane beside it, and the moments."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.settings = settings_in(directory)
        self.clock = Clock()
        self.world = World(self.settings, self.clock)
        app = create_admin_app(self.settings, self.world.store, self.clock)
        with self.world.store.write() as session:
            _, raw = issue(session, "tester", now=self.clock())
        self.admin: FlaskClient = app.test_client()
        self.admin.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {raw}"
        self.world.change(lambda session: script_catalogue.save(session, "look", SCRIPT, self.clock()))
        self._put("/rules/rack", {"when": "memory > 1GiB", "actions": {"add_tags": ["large"], "hostname_pattern": "m-{serial}"}})
        self.world.image()
        self.machine = self.world.machine()
        self.world.machine(name="node-2", mac="52:54:00:77:00:02", address="10.77.0.11", system_uuid=None, serial="S2")
        assert self.admin.patch("/api/v1/subnets/lab", json={"enlist": True}).status_code == 200
        self._begin = self._keep("begin", "", "", "")
        self.moments = {name: make(self) for name, make in MOMENTS.items()}

    def close(self) -> None:
        self.world.store.engine.dispose()

    def at(self, name: str) -> Moment:
        """Put everything back to a moment."""
        moment = self.moments[name]
        self._restore(moment.file)
        return moment

    def pages(self, moment: Moment) -> dict[str, int]:
        """The pages on which people see what machines have said, and how each is answered."""
        wanted = [page for page in PAGES if moment.operation or "{operation}" not in page]
        paths = [f"/api/v1{page}".format(operation=moment.operation, machine=self.machine.id) for page in wanted]
        return {path: self.admin.get(path).status_code for path in (*paths, "/metrics")}

    def _put(self, path: str, body: Any) -> None:
        answer = self.admin.put(f"/api/v1{path}", json=body)
        assert answer.status_code < 300, answer.text

    def _database(self) -> Path:
        return Path(self.world.store.url.database or "")

    def _keep(self, name: str, operation: str, token: str, run: str) -> Moment:
        self.world.store.engine.dispose()
        file = self._directory / f"{name}.kept"
        shutil.copy(self._database(), file)
        return Moment(file, operation, token, run)

    def _restore(self, file: Path) -> None:
        self.world.store.engine.dispose()
        for suffix in ("-wal", "-shm"):
            Path(f"{self._database()}{suffix}").unlink(missing_ok=True)
        shutil.copy(file, self._database())

    def unknown(self) -> Moment:
        """Nobody is awaited; strangers may enlist."""
        self._restore(self._begin.file)
        return self._keep("unknown", "", "x" * 43, "none")

    def booting(self) -> Moment:
        """The agent is on its way."""
        self._restore(self._begin.file)
        operation = self.world.start(self.machine, "commission")
        return self._keep("booting", operation, self.world.token(), "none")

    def at_work(self, kind: str) -> Moment:
        """The agent has its job."""
        self._restore(self._begin.file)
        operation = self.world.start(self.machine, kind)
        token = self.world.token()
        assert self.world.hello(token).status_code == 200
        if kind == "commission":
            assert self.world.post(f"/agent/{token}/inventory", {"inventory": inventory()}).status_code == 200
        asked: Any = self.world.post(f"/agent/{token}/scripts").json
        run = asked["runs"][0]["id"] if asked.get("runs") else "none"
        return self._keep(kind, operation, token, run)

    def first_boot(self) -> Moment:
        """cloud-init is at work."""
        self._restore(self._begin.file)
        operation = self.world.start(self.machine, "deploy", user_data="#cloud-config\npackages: [htop]\n")
        token = self.world.token()
        self.world.done(token)
        self.world.signal(operation, Signal.JOB_DONE)
        assert self.world.operation(operation).phase == "first-boot"
        return self._keep("first-boot", operation, token, "none")


MOMENTS: dict[str, Callable[[Stage], Moment]] = {
    "unknown": Stage.unknown,
    "booting": Stage.booting,
    "commission": lambda stage: stage.at_work("commission"),
    "test": lambda stage: stage.at_work("test"),
    "deploy": lambda stage: stage.at_work("deploy"),
    "release": lambda stage: stage.at_work("release"),
    "rescue": lambda stage: stage.at_work("rescue"),
    "first-boot": Stage.first_boot,
}

HELLO = {
    "protocol": 1,
    "agent": "0.1.0",
    "identity": {"system_uuid": UUID, "serial": "S1", "macs": [MAC]},
    "firmware": "bios",
    "boot_mac": MAC,
}
STRANGER = "52:54:00:99:99:01"
STAGE_TIMES = [{"name": "init-local", "started": 100.0, "finished": 101.0}, {"name": "init-network", "started": 102.5}]
MESSAGES: dict[str, list[Any]] = {
    "/agent/{token}/hello": [HELLO],
    "/agent/{token}/inventory": [{"inventory": inventory()}],
    "/agent/{token}/step": [
        {
            "step": step,
            "status": status,
            "error": {"code": "write_failed", "message": "no"},
            "result": {"disks": [{"id": "virtio-1"}]},
        }
        for step in ("inspect", "scripts", "write", "configure", "wipe", "rescue")
        for status in ("started", "finished", "failed")
    ],
    "/agent/{token}/progress": [{"step": "write", "percent": 4.5, "done_bytes": 5, "total_bytes": 100, "message": "writing"}],
    "/agent/{token}/done": [{}],
    "/agent/{token}/scripts": [{}],
    "/agent/{token}/script/{run}": [
        {"status": status, "exit_status": 0, "output": "well", "result": {"ok": True, "list": [1]}, "runtime_seconds": 1.5}
        for status in ("running", "passed", "failed")
    ],
    "/agent/{token}/console": [{"offset": 0, "text": "booting\n"}, {"offset": 8, "text": "more"}],
    "/agent/enlist": [
        {
            "protocol": 1,
            "identity": {"system_uuid": UUID, "serial": "S9", "macs": [STRANGER]},
            "firmware": "uefi",
            "boot_mac": STRANGER,
            "inventory": inventory(STRANGER, system={"serial": "S9", "uuid": None}),
        }
    ],
    "/report/{token}": [
        {"origin": "cloudinit", "name": "modules-config", "description": "x", "event_type": "finish", "result": "SUCCESS"},
        {"origin": "cloudinit", "name": "modules-final/config-ssh", "event_type": "finish", "result": "FAIL", "duration": 2.0},
        {"origin": "metalwright", "event_type": "progress", "now": 200.0, "stages": STAGE_TIMES, "console": "hello"},
        {
            "origin": "metalwright",
            "event_type": "finished",
            "status": "error",
            "now": 300.0,
            "stages": STAGE_TIMES,
            "errors": ["('scripts-user', RuntimeError('no'))", "('package-update-upgrade-install', ProcessExecutionError('x'))"],
            "warnings": ["w"],
            "complaints": ["E: Unable to locate package htpo"],
            "datasource": "DataSourceNoCloud",
            "host_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ"],
        },
    ],
}
"""What is posted where, when all is well."""
FETCHED = (
    "/boot/start.ipxe",
    "/boot/ipxe",
    "/boot/loaders/{word}",
    "/boot/agent/{word}/vmlinuz",
    "/boot/agent/code.cpio",
    "/files/{token}/image",
    "/seed/{token}/{word}",
    "/agent/{token}/script/{run}",
)
WORDS = ("snponly.efi", "..", "%2e%2e", "0123456789abcdef", "current", "user-data", "meta-data", "vendor-data", "network-config")
ADDRESSES = (ADDRESS, "10.77.0.11", "10.77.0.120", "192.0.2.1", "::1", "")
