# SPDX-License-Identifier: GPL-3.0-or-later
"""The finisher, run as it runs on a machine: another process, its own directories, a controller that may be away."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from metalwright.node import finisher

RESULT = {"v1": {"datasource": "DataSourceNoCloud [seed=/x]", "errors": []}}
STATUS = {
    "v1": {
        "datasource": "DataSourceNoCloud [seed=/x]",
        "stage": None,
        "init-local": {"start": 1e9 + 100, "finished": 1e9 + 101, "errors": [], "recoverable_errors": {}},
        "init": {"start": 3.5, "finished": 4.5, "errors": ["x"], "recoverable_errors": {"WARNING": ["careful"]}},
        "modules-config": {"start": 1e9 + 105, "finished": None, "errors": []},
        "modules-final": {"start": None, "finished": None, "errors": []},
    }
}
LOGS = ("/var/log/cloud-init-output.log", "/var/log/metalwright-report.log")
VOID = {"code": "not_found", "message": "There is nothing here."}


class Controller(ThreadingHTTPServer):
    """Answers reports with what ``answer`` says, and remembers them."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer: tuple[int, Any] = (200, {"acknowledged": True})
        self.got: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Controller)
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, body = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def controller() -> Iterator[Controller]:
    """A controller on loopback."""
    server = Controller()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Disk:
    """The files of a deployed machine below a directory."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        for file in finisher.files(url):
            path = root / file["path"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"].replace("/etc/", f"{root}/etc/") if path.name == "report.json" else file["content"])
            path.chmod(file["mode"])
        self.run = root / "run/cloud-init"
        self.run.mkdir(parents=True)
        (root / "var/log").mkdir(parents=True)
        ssh = root / "etc/ssh"
        ssh.mkdir()
        (ssh / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAAC3 root@node-1\n")
        (ssh / "ssh_host_ed25519_key").write_text("secret")
        program = root / "var/lib/metalwright/report.py"
        text = program.read_text()
        for path in ("/var/lib/metalwright", "/run/cloud-init", "/etc/ssh", *LOGS):
            assert f'Path("{path}")' in text
            text = text.replace(f'Path("{path}")', f'Path("{root}{path}")')
        program.write_text(text)

    def cloud_init_ends(self, result: dict[str, Any] = RESULT) -> None:
        (self.run / "status.json").write_text(json.dumps(STATUS))
        (self.run / "result.json.new").write_text(json.dumps(result))
        (self.run / "result.json.new").rename(self.run / "result.json")

    def reboot(self) -> None:
        (self.run / "result.json").unlink()

    def start(self) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], "http_proxy": "http://127.0.0.1:9"}
        program = self.root / "var/lib/metalwright/report.py"
        return subprocess.Popen([sys.executable, "-I", str(program)], env=environment, stderr=subprocess.PIPE)

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*metalwright*"))


@pytest.fixture
def disk(tmp_path: Path, controller: Controller) -> Disk:
    """A machine whose disk was just written."""
    return Disk(tmp_path, f"http://127.0.0.1:{controller.server_port}/report/token")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=30)
    return process.returncode


def test_reports_when_cloud_init_has_ended_and_leaves_only_the_data_source(disk: Disk, controller: Controller) -> None:
    process = disk.start()
    disk.cloud_init_ends()
    assert end(process) == 0
    (report,) = [said for said in controller.got if said["event_type"] == "finished"]
    stages, now = report.pop("stages"), report.pop("now")
    assert report == {
        "origin": "metalwright",
        "event_type": "finished",
        "status": "done",
        "errors": [],
        "warnings": ["careful"],
        "datasource": "DataSourceNoCloud [seed=/x]",
        "host_keys": ["ssh-ed25519 AAAAC3"],
        "complaints": [],
        "console": "",
    }
    assert [(stage["name"], stage["failed"]) for stage in stages] == [
        ("init-local", False),
        ("init-network", True),
        ("modules-config", False),
    ]
    assert (stages[0]["started"], stages[0]["finished"], stages[2]["finished"]) == (1e9 + 100, 1e9 + 101, None)
    assert stages[1]["finished"] - stages[1]["started"] == pytest.approx(1)
    assert now > stages[1]["started"] > 1.5e9
    assert disk.left() == ["etc/cloud/cloud.cfg.d/90_metalwright.cfg"]
    assert not (disk.root / "etc/systemd/system/multi-user.target.d").exists()


def test_stages_are_told_as_they_begin_and_end(disk: Disk, controller: Controller) -> None:
    process = disk.start()
    until(lambda: _handles_sigterm(process.pid))
    (disk.run / "status.json").write_text('{"v1": {"init-local": {"start": 1.5, "finished": null}')  # half-written
    (disk.run / "status.json").write_text('{"v1": {"init-local": {"start": 1.5, "finished": null}}}')
    until(lambda: bool(controller.got))
    assert (controller.got[0]["event_type"], controller.got[0]["stages"][0]["finished"]) == ("progress", None)
    disk.cloud_init_ends()
    assert end(process) == 0
    assert [said["event_type"] for said in controller.got][-1] == "finished"


def test_errors_are_told(disk: Disk, controller: Controller) -> None:
    disk.cloud_init_ends({"v1": {"datasource": None, "errors": ["('scripts-user', RuntimeError('x'))"]}})
    assert end(disk.start()) == 0
    assert (controller.got[-1]["status"], controller.got[-1]["errors"]) == ("error", ["('scripts-user', RuntimeError('x'))"])


def test_what_cloud_init_printed_goes_along_and_what_package_managers_complained_of(disk: Disk, controller: Controller) -> None:
    apt = ["E: Unable to locate package foo", "E: Unable to locate package foo", "E: Package 'bar' has no installation candidate"]
    dnf = ["No match for argument: baz", "Error: Unable to find a match: baz"]
    printed = "\n".join(["é" * (40 << 10), "Reading package lists...", *apt, *dnf, "done", ""])
    (disk.root / LOGS[0][1:]).write_text(printed, encoding="utf-8")
    disk.cloud_init_ends({"v1": {"datasource": None, "errors": ["('package_update_upgrade_install', X('x'))"]}})
    assert end(disk.start()) == 0
    report = controller.got[-1]
    assert report["complaints"] == [*apt[1:], *dnf]
    assert report["console"].endswith("baz\ndone\n") and len(report["console"].encode()) <= (64 << 10) + 2


def test_tries_in_vain_are_written_down_in_bounds_until_one_succeeds(disk: Disk, controller: Controller) -> None:
    log = disk.root / LOGS[1][1:]
    log.write_text("an old line\n" * 5000)
    controller.answer = (503, {})
    disk.cloud_init_ends()
    process = disk.start()
    until(lambda: len(controller.got) >= 2 and "503" in log.read_text())
    lines = log.read_text().splitlines()
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT[\d:]{{8}}Z cannot reach 127.0.0.1:{controller.server_port}: it answered 503", lines[-1]
    )
    assert lines[0] == "an old line" and log.stat().st_size < 40 << 10
    controller.answer = (200, {"acknowledged": True})
    assert end(process) == 0
    assert not log.exists()


def test_network_that_is_down_is_named(disk: Disk) -> None:
    settings = disk.root / "var/lib/metalwright/report.json"
    settings.write_text(json.dumps({"url": "http://192.0.2.0.invalid:5248/report/TOKEN", "remove": []}))
    disk.cloud_init_ends()
    process = disk.start()
    log = disk.root / LOGS[1][1:]
    until(lambda: log.exists() and log.read_text().endswith("\n"))
    process.kill()
    end(process)
    assert re.search(r"cannot reach 192\.0\.2\.0\.invalid:5248: .*[Nn]ame", log.read_text())
    assert "TOKEN" not in log.read_text()


@pytest.mark.parametrize(
    "answer", [(500, {}), (503, {}), (404, "nginx"), (404, {"code": "other"}), (409, {"code": "too_early"}), (200, {})]
)
def test_anything_but_an_acknowledgement_is_asked_again(disk: Disk, controller: Controller, answer: tuple[int, Any]) -> None:
    controller.answer = answer
    disk.cloud_init_ends()
    process = disk.start()
    until(lambda: len(controller.got) >= 2)
    controller.answer = (200, {"acknowledged": True})
    assert end(process) == 0
    assert len(disk.left()) == 1


def test_other_data_in_the_same_place_stays(disk: Disk) -> None:
    database = disk.root / "var/lib/metalwright/metalwright.db"
    database.write_text("of a controller that user-data has installed here")
    disk.cloud_init_ends()
    assert end(disk.start()) == 0
    assert [path.name for path in database.parent.iterdir()] == ["metalwright.db"]


def test_void_token_is_the_end_too(disk: Disk, controller: Controller) -> None:
    controller.answer = (404, VOID)
    disk.cloud_init_ends()
    assert end(disk.start()) == 0
    assert len(disk.left()) == 1


def test_machine_that_goes_down_straight_after_cloud_init_reports_on_its_way(disk: Disk, controller: Controller) -> None:
    controller.answer = (500, {})
    process = disk.start()
    disk.cloud_init_ends()
    until(lambda: len(controller.got) >= 1)
    controller.answer = (200, {"acknowledged": True})
    before = len(controller.got)
    process.send_signal(signal.SIGTERM)
    assert end(process) == 0
    assert len(controller.got) == before + 1
    assert len(disk.left()) == 1


def test_reboot_in_the_middle_of_cloud_init_reports_nothing(disk: Disk, controller: Controller) -> None:
    process = disk.start()
    until(lambda: _handles_sigterm(process.pid))
    process.send_signal(signal.SIGTERM)
    assert end(process) == 1
    assert controller.got == []
    process = disk.start()
    disk.cloud_init_ends()
    assert end(process) == 0
    assert len(controller.got) == 1


def _handles_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return bool(caught & (1 << (signal.SIGTERM - 1)))


def test_next_boot_goes_on_with_the_first_boots_result(disk: Disk, controller: Controller) -> None:
    controller.answer = (503, {})
    disk.cloud_init_ends({"v1": {"datasource": "DataSourceNoCloud", "errors": ["first"]}})
    process = disk.start()
    until(lambda: len(controller.got) >= 1)
    process.kill()
    end(process)
    disk.reboot()
    controller.answer = (200, {"acknowledged": True})
    assert end(disk.start()) == 0
    assert controller.got[-1]["errors"] == ["first"]
    assert len(disk.left()) == 1


def test_program_is_python_3_6() -> None:
    program = next(file for file in finisher.files("http://c/report/t") if file["path"].endswith("report.py"))
    tree = ast.parse(program["content"], feature_version=(3, 6))
    imported = {name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


def test_what_holds_the_token_is_readable_by_root_only(tmp_path: Path) -> None:
    files = finisher.files("http://10.77.0.1:5248/report/TOKEN")
    secret = {file["path"] for file in files if "TOKEN" in file["content"]}
    assert secret == {file["path"] for file in files if file["mode"] == 0o600} == {"/var/lib/metalwright/report.json"}
    config = next(file["content"] for file in files if file["path"] == "/etc/cloud/cloud.cfg.d/90_metalwright.cfg")
    assert yaml.safe_load(config) == {"datasource_list": ["NoCloud", "None"]}
