# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that the controller runs on a machine: real Ansible, over real SSH."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import until
from sqlalchemy import select
from ssh_machine import NAP, SshMachine

from metalwright.config import Settings
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.lifecycle.playbook_runs import PlaybookRuns
from metalwright.lifecycle.worker import Worker
from metalwright.runs import place
from metalwright.store import Store
from metalwright.store.models import ConsoleLog, Event, Interface, Machine, Operation, Task

OVER = ("succeeded", "failed", "aborted")


class Controller:
    """One machine, and operations that are led up to the phase in which the playbook runs."""

    def __init__(self, settings: Settings, store: Store, machine: SshMachine) -> None:
        self.settings = settings
        self.store = store
        self.engine = Engine(settings)
        self._host_key = machine.host_key
        with store.write() as session:
            node = Machine(name="node-1", state="ready", hardware={"disks": []}, tags=["web"])
            node.interfaces = [Interface(mac="52:54:00:00:00:01", boot=True)]
            session.add(node)

    def start(self, kind: str, **parameters: Any) -> str:
        """Start an operation and let the machine do all that comes before its playbook."""
        if kind == "deploy":
            parameters = {"address": "auto", "record": {"hostname": "node-1"}, **parameters}
        with self.store.write() as session:
            node = session.scalars(select(Machine)).one()
            node.boot_interface.address = "127.0.0.1"
            if kind == "release":
                node.state, node.deployed, node.host_keys = "deployed", {"hostname": "node-1"}, [self._host_key]
            operation = self.engine.start(session, node, kind, parameters, by="test")
            node.boot_interface.address = "127.0.0.1"  # there is no subnet to take one from
            while operation.phase not in ("configure", "drain"):
                node.host_keys = [self._host_key]
                self.engine.signal(session, operation, OPERATIONS[kind].phase(operation.phase or "").until)
            return operation.id

    def operation(self, identifier: str) -> Operation:
        with self.store.session() as session:
            return session.get_one(Operation, identifier)

    def ended(self, identifier: str) -> Operation:
        return until(lambda: found if (found := self.operation(identifier)).state in OVER else None, "it ends", 60)

    def machine(self) -> Machine:
        with self.store.session() as session:
            return session.scalars(select(Machine)).one()

    def printed(self, identifier: str) -> str:
        with self.store.session() as session:
            return session.get_one(ConsoleLog, (identifier, "playbook")).text

    def events(self, kind: str) -> list[Event]:
        with self.store.session() as session:
            return list(session.scalars(select(Event).where(Event.kind == kind)))

    @contextmanager
    def worker(self) -> Iterator[threading.Event]:
        """A worker beside the test; gives what stops it."""
        stop = threading.Event()
        handlers = PlaybookRuns(self.settings, self.store, stop).handlers()
        worker = Worker(self.store, self.engine, handlers, owner="w", threads=1)
        thread = threading.Thread(target=worker.run, args=[stop])
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def controller(settings: Settings, store: Store, ssh_machine: SshMachine, monkeypatch: pytest.MonkeyPatch) -> Controller:
    monkeypatch.setattr("metalwright.network.addresses.ensure_address", lambda *_given, **_named: None)
    return Controller(settings, store, ssh_machine)


def sleeping() -> bool:
    return subprocess.run(["pgrep", "-f", f"^sleep {NAP}"], capture_output=True).returncode == 0


def test_a_machine_is_deployed_when_its_playbook_has_run(controller: Controller) -> None:
    greeting = "{{ lookup('pipe', 'touch /tmp/metalwright-was-fooled') }}"
    variables = {"greeting": greeting, "password": "hidden-word"}
    operation = controller.start("deploy", playbook="site", playbook_vars=variables)
    with controller.worker():
        ended = controller.ended(operation)
    assert (ended.state, controller.machine().state) == ("succeeded", "deployed")
    run = ended.playbook_run
    assert (run["name"], run["status"], run["began"]) == ("site", "succeeded", 1)
    assert run["recap"] == {"ok": 2, "changed": 1, "unreachable": 0, "failed": 0, "skipped": 0}
    printed = controller.printed(operation)
    assert "TASK [Show it]" in printed and "to node-1 from ********" in printed
    assert not Path("/tmp/metalwright-was-fooled").exists()
    told = "".join(event.data["text"] for event in controller.events("playbook.output"))
    assert "TASK [Show it]" in told
    everything = f"{printed}{told}{ended.failure}{ended.parameters}"
    assert "hidden-word" not in everything and greeting not in everything
    assert [event.data["recap"]["ok"] for event in controller.events("playbook.ended")] == [2]


def test_the_controllers_key_is_let_in_by_a_deploy_that_names_a_playbook(controller: Controller, ssh_machine: SshMachine) -> None:
    operation = controller.start("deploy", playbook="site", ssh_keys=["ssh-ed25519 AAAA me"])
    public = ssh_machine.key.with_suffix(".pub").read_text().strip()
    assert controller.operation(operation).parameters["ssh_keys"] == ["ssh-ed25519 AAAA me", public]


def test_a_playbook_that_fails_says_at_what(controller: Controller) -> None:
    operation = controller.start("deploy", playbook="broken", playbook_vars={"password": "hidden-word"})
    with controller.worker():
        failure = controller.ended(operation).failure
    assert failure["code"] == "playbook_failed" and failure["phase"] == "configure"
    assert "node-1: playbook broken failed in the task 'Install nginx': non-zero return code" in failure["message"]
    assert "fatal: [node-1]: FAILED!" in failure["log_tail"] and "hidden-word" not in failure["log_tail"]
    assert controller.machine().state == "failed"


def test_a_machine_with_another_host_key_is_not_logged_in_to(controller: Controller) -> None:
    operation = controller.start("deploy", playbook="broken", playbook_vars={"password": "hidden-word"})
    with controller.store.write() as session:
        other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ"
        session.scalars(select(Machine)).one().host_keys = [other]
    with controller.worker():
        failure = controller.ended(operation).failure
    assert failure["code"] == "playbook_unreachable"
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in failure["log_tail"]


def test_a_drain_that_takes_too_long_leaves_the_machine_as_it_was(controller: Controller) -> None:
    operation = controller.start("release", playbook="long", playbook_timeout=4)
    with controller.worker():
        ended = controller.ended(operation)
        assert not sleeping()
    assert ended.failure["code"] == "playbook_timeout"
    assert ended.playbook_run["status"] == "failed"
    assert controller.machine().state == "deployed"
    with controller.store.session() as session:
        assert session.scalars(select(Task.kind).where(Task.kind.like("power.%"))).all() == []


def test_an_abort_ends_every_process_of_the_run(controller: Controller) -> None:
    operation = controller.start("release", playbook="long")
    with controller.worker():
        until(sleeping, "the playbook has begun")
        with controller.store.write() as session:
            controller.engine.abort(session, session.get_one(Operation, operation), by="test")
        until(lambda: not sleeping(), "all have ended")
    assert controller.operation(operation).playbook_run["status"] == "stopped"
    assert controller.machine().state == "deployed"
    with controller.store.session() as session:
        assert session.scalars(select(Task.kind).where(Task.kind.like("power.%"))).all() == []  # it was never turned off


def test_what_a_worker_that_stops_has_under_way_is_begun_anew(controller: Controller, tmp_path: Path) -> None:
    operation = controller.start("deploy", playbook="twice", playbook_vars={"mark": str(tmp_path / "mark")})
    with controller.worker():
        until(sleeping, "the playbook has begun")
    assert not sleeping()
    assert controller.operation(operation).state == "running"
    with controller.worker():
        ended = controller.ended(operation)
    assert ended.state == "succeeded" and ended.playbook_run["began"] == 2
    assert "[the playbook was begun again]" in controller.printed(operation)


WORKER = """
import sys
from metalwright.config import Settings
from metalwright.lifecycle.worker import Worker
from metalwright.serve import worker
from metalwright.serve.loader_notes import LoaderNotes
from metalwright.serve.reports import Reports
from metalwright.store import Store, sealed
Worker.LEASE = 2.0
settings = Settings.model_validate_json(sys.stdin.read())
sealed.unlock(settings.secret_key)
worker.run(settings, Store(settings.database), Reports(), LoaderNotes())
"""


@pytest.mark.parametrize("with_guard", [False, True])
def test_what_a_worker_that_is_killed_had_under_way_is_begun_anew(
    controller: Controller, tmp_path: Path, secret_key: Path, with_guard: bool
) -> None:
    settings = controller.settings.model_copy(update={"secret_key_file": secret_key})
    operation = controller.start("deploy", playbook="twice", playbook_vars={"mark": str(tmp_path / "mark")})

    def work() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(settings.model_dump_json().encode())
        process.stdin.close()
        return process

    first = work()
    until(sleeping, "the playbook has begun")
    guards = subprocess.run(["pgrep", "-P", str(first.pid)], capture_output=True, text=True).stdout.split()
    for pid in [first.pid, *(map(int, guards) if with_guard else [])]:
        os.kill(pid, signal.SIGKILL)
    first.wait()
    if not with_guard:
        until(lambda: not sleeping(), "the guard has seen that its worker is dead, and ended all")
    second = work()
    try:
        ended = controller.ended(operation)
    finally:
        second.terminate()
        second.wait()
    assert ended.state == "succeeded" and ended.playbook_run["began"] == 2


def test_what_was_left_behind_is_removed_at_the_start(settings: Settings) -> None:
    left = settings.runs_dir / "left"
    (left / "env").mkdir(parents=True)
    (left / "env/extravars").write_text("password: hidden-word\n")
    environment = {**os.environ, "METALWRIGHT_RUN": str(left)}
    process = subprocess.Popen(["sleep", str(NAP)], env=environment, start_new_session=True)
    try:
        place.sweep(settings.runs_dir)
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    assert not left.exists()
