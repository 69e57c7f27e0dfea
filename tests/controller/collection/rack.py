# SPDX-License-Identifier: GPL-3.0-or-later
"""A real controller on loopback whose machines do everything that is asked of them, at once.

The admin plane, its database and the engine are the real ones; what a machine, its BMC and its agent would tell the engine, a
thread tells it. A machine whose description is ``mute`` never answers. For the power driver ``webhook`` there is a BMC that can
be asked, and for those who look for machines a hypervisor of libvirt's own test driver that has two.

As a program, ``rack.py FILE COMMAND...``, it writes where it is to the file that ``ansible-test integration`` reads, runs that
command, and ends with it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import select
from werkzeug.serving import WSGIRequestHandler, make_server

from metalwright.api.auth import issue
from metalwright.app import create_admin_app
from metalwright.config import Images, Node, Runs, Settings
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import OPERATIONS, Signal
from metalwright.store import Store, migrate, sealed
from metalwright.store.base import utcnow
from metalwright.store.models import Image, Operation

GIB = 1 << 30
HARDWARE = {
    "schema": 1,
    "firmware": {"type": "uefi"},
    "cpu": {"model": "{{ lookup('ansible.builtin.pipe', 'touch /tmp/metalwright-was-fooled') }}", "threads": 4},
    "memory": {"bytes": 8 * GIB},
    "disks": [{"name": "vda", "size_bytes": 20 * GIB, "rotational": False, "removable": False}],
    "nics": [],
}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ root@node"


BLADE = """<domain type="test"><name>blade-{0}</name><memory>1048576</memory><os><type arch="x86_64">hvm</type></os><devices>
<interface type="network"><mac address="52:54:00:c4:00:0{0}"/><source network="default"/></interface></devices></domain>"""


class Bmc:
    """Says whether machines are on: ``GET /NAME`` answers ``on`` or ``off``."""

    def __init__(self) -> None:
        self.on: set[str] = set()
        """Names of the machines that are on."""
        bmc = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_said: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                answer = b"on" if self.path.strip("/") in bmc.on else b"off"
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def tell(self, name: str, kind: str) -> str:
        """Do what a power operation wants; answer how the machine is then."""
        (self.on.discard if kind == "power-off" else self.on.add)(name)
        return "on" if name in self.on else "off"


class Quiet(WSGIRequestHandler):
    """Serves without writing a line for each request."""

    def log(self, *_said: object) -> None:
        """Say nothing."""


class Rack:
    """A controller with obedient machines. ``url`` and ``token`` lead to it, ``hypervisor`` to machines it does not know."""

    def __init__(self, directory: Path) -> None:
        (directory / "import").mkdir(parents=True)
        settings = Settings(
            data_dir=directory,
            node=Node(url="http://10.0.0.1:5248"),
            images=Images(import_dir=directory / "import"),
            runs=_playbooks(directory),
        )
        self.store = Store(settings.database)
        migrate.upgrade(self.store)
        self.engine = Engine(settings)
        with self.store.write() as session:
            self.token = issue(session, "tests", now=utcnow())[1]
        self._server = make_server("127.0.0.1", 0, create_admin_app(settings, self.store), threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.bmc = Bmc()
        (directory / "hypervisor.xml").write_text(f"<node>{BLADE.format(1)}{BLADE.format(2)}</node>")
        self.hypervisor = f"test://{directory}/hypervisor.xml"
        self._over = threading.Event()
        self.resting = threading.Event()
        """While it is set, machines do nothing."""
        work = (self._server.serve_forever, self.bmc.server.serve_forever, self._work)
        self._threads = [threading.Thread(target=target) for target in work]

    def __enter__(self) -> Rack:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._server.shutdown()
        self.bmc.server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        self.bmc.server.server_close()
        self.store.engine.dispose()

    def told(self) -> dict[str, str]:
        """Where everything is, as variables of Ansible."""
        return {
            "metalwright_url": self.url,
            "metalwright_token": self.token,
            "metalwright_bmc": self.bmc.url,
            "metalwright_hypervisor": self.hypervisor,
        }

    def _work(self) -> None:
        while not self._over.wait(0.05):
            if not self.resting.is_set():
                with self.store.session() as session:
                    running = session.scalars(select(Operation.id).where(Operation.state == "running")).all()
                    importing = session.scalars(select(Image.id).where(Image.status == "importing")).all()
                for operation_id in running:
                    self._go_on(operation_id)
                for image_id in importing:
                    self._import(image_id)

    def _go_on(self, operation_id: str) -> None:
        with self.store.write() as session:
            operation = session.get_one(Operation, operation_id)
            machine = operation.machine
            if machine.description == "mute":
                failure = {
                    "code": "bmc_unreachable",
                    "message": f"{machine.name}: no answer from its BMC",
                    "hint": "Check its address.",
                }
                self.engine.signal(session, operation, Signal.POWER_FAILED, failure)
                return
            if operation.phase == "inspect":
                machine.hardware, machine.firmware = HARDWARE, "uefi"
                machine.cpu_count, machine.memory_mib, machine.disk_gib = 4, 8192, 20
            if operation.kind.startswith("power-"):
                machine.power_state = self.bmc.tell(machine.name, operation.kind)
            if operation.phase == "first-boot":
                machine.host_keys = [HOST_KEY]
            phase = OPERATIONS[operation.kind].phase(operation.phase or "")
            self.engine.signal(session, operation, phase.until)

    def _import(self, image_id: str) -> None:
        with self.store.write() as session:
            image = session.get_one(Image, image_id)
            if "missing" in (image.source or ""):
                image.status = "failed"
                image.failure = {"code": "source_gone", "message": "the server answered 404", "hint": "Check the URL."}
                return
            image.status, image.format, image.firmware = "ready", "raw.zst", ["bios", "uefi"]
            image.content_sha256 = hashlib.sha256((image.source or "").encode()).hexdigest()
            image.stored_bytes, image.image_bytes = GIB, 2 * GIB


def _playbooks(directory: Path) -> Runs:
    """A controller that may run the playbook ``database``; what it would do, the machines do at once."""
    (directory / "database.yml").write_text("---\n")
    (directory / "key.pub").write_text(HOST_KEY)
    return Runs(playbooks_dir=directory, ssh_key=directory / "key")


def run_beside(told: Path, command: list[str]) -> int:
    """Run a command beside a rack, which is written to the file ``told``; returns its exit status."""
    with tempfile.TemporaryDirectory() as place:
        sealed.unlock(Path(place) / "secret.key", new=True)
        with Rack(Path(place) / "data") as rack:
            told.write_text(json.dumps({**rack.told(), "ansible_pipelining": True}))
            return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(run_beside(Path(sys.argv[1]), sys.argv[2:]))
