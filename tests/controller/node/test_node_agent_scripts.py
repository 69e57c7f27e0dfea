# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's own code against the node plane over HTTP: scripts that really run, and what the controller then knows."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from node_world import MAC, UUID, World
from sqlalchemy import select
from werkzeug.serving import make_server

from metalwright.agent.abort import Abort
from metalwright.agent.client import Client
from metalwright.agent.console import Console
from metalwright.agent.runner import Machine as Hardware
from metalwright.agent.runner import Runner
from metalwright.lifecycle import script_catalogue
from metalwright.lifecycle.operations import Signal
from metalwright.store.models import ConsoleLog, ScriptRun


class End:
    """The machine's end: remembers how the agent ended."""

    def __init__(self) -> None:
        self.how = ""

    def load(self, devices: list[Any]) -> bool:
        return False

    def kexec(self) -> None:
        self.how = "kexec"

    def reboot(self) -> None:
        self.how = "reboot"

    def restart(self, firmware: str) -> None:
        self.how = "restart"

    def power_off(self) -> None:
        self.how = "power_off"

    def stay(self, login: list[str]) -> None:
        self.how = "stay"


@pytest.fixture
def boot(world: World) -> Iterator[Callable[[], str]]:
    """Boot the machine: an agent asks for its job, does it, and says how it ended."""
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def boot() -> str:
        end, console, abort = End(), Console(io.StringIO()), Abort()
        identity = {"system_uuid": UUID, "serial": "S1", "macs": [MAC]}
        machine = Hardware("bios", MAC, identity, list, lambda _disk: [], end)
        client = Client(f"http://127.0.0.1:{server.server_port}/agent/{world.token()}", console, abort)
        Runner(machine, client, console, abort, lambda _seconds: None, tick=0.05).job()
        return end.how

    yield boot
    server.shutdown()
    thread.join()
    server.server_close()


def add(world: World, name: str, kind: str, code: str, *lines: str) -> None:
    header = "".join(f"# {line}\n" for line in (f"name: {name}", f"kind: {kind}", *lines))
    source = f"#!/bin/sh\n# --- metalwright\n{header}# ---\n{code}\n"
    world.change(lambda session: script_catalogue.save(session, name, source, world.clock()))


def runs(world: World) -> dict[str, ScriptRun]:
    with world.store.session() as session:
        return {run.script_name: run for run in session.scalars(select(ScriptRun))}


def test_a_script_of_a_user_with_parameters_that_fails_is_told_with_its_output(world: World, boot: Callable[[], str]) -> None:
    code = 'echo "RAID $METALWRIGHT_PARAM_LEVEL on $METALWRIGHT_PARAM_FIRST_DISK"; echo "no such controller" >&2; exit 3'
    lines = ("parameters:", "  level: {type: int, default: 1}", "  first-disk: {type: string, required: true}")
    add(world, "raid", "commissioning", code, *lines)
    add(world, "after", "commissioning", "exit 0")
    machine = world.machine(state="new", hardware=None, firmware=None)
    given = {"raid": {"level": 10, "first-disk": "slot 0; rm -rf /"}}
    operation = world.start(machine, "commission", scripts=["raid", "after"], tests=[], parameters=given)
    assert boot() == "power_off"
    found = runs(world)
    assert (found["raid"].status, found["raid"].exit_status) == ("failed", 3)
    assert found["raid"].output == "RAID 10 on slot 0; rm -rf /\nno such controller\n"
    assert (found["raid"].runtime_seconds or -1) >= 0
    assert found["after"].status == "aborted"
    failure = world.operation(operation).failure or {}
    assert (failure["code"], failure["message"]) == ("script_failed", "node-1: commissioning failed: raid (exit status 3)")
    assert failure["log_tail"] == found["raid"].output
    assert world.reload(machine).state == "failed"
    with world.store.session() as session:
        console = session.scalars(select(ConsoleLog)).one().text
    assert "scripts: raid begins" in console and "scripts: raid: failed with status 3" in console


def test_tests_that_pass_are_skipped_and_run_beside_each_other_let_the_machine_be_ready(
    world: World, boot: Callable[[], str]
) -> None:
    meet = "until [ -e /tmp/metalwright-{0}-$METALWRIGHT_PARAM_MARK ]; do sleep 0.05; done"
    for name, other in (("one", "two"), ("two", "one")):
        code = f"touch /tmp/metalwright-{name}-$METALWRIGHT_PARAM_MARK; {meet.format(other)}; rm -f /tmp/metalwright-{other}-*"
        add(world, name, "test", code, "timeout: 20", "parallel: true", "parameters:", "  mark: {type: string}")
    add(world, "not-here", "test", "echo no such card; exit 77")
    add(world, "result", "test", """echo '{"mb_per_second": 512.5}' >"$METALWRIGHT_RESULT" """)
    machine = world.machine()
    mark = {"mark": str(world.clock().timestamp()) + machine.id}
    names = ["one", "two", "not-here", "result"]
    operation = world.start(machine, "test", scripts=names, parameters={"one": mark, "two": mark})
    assert boot() == "power_off"
    found = runs(world)
    assert {name: run.status for name, run in found.items()} == {
        "one": "passed",
        "two": "passed",
        "not-here": "skipped",
        "result": "passed",
    }
    assert (found["not-here"].output, found["result"].result) == ("no such card\n", {"mb_per_second": 512.5})
    world.signal(operation, Signal.POWER_DONE)
    assert (world.reload(machine).state, world.reload(machine).test_status) == ("ready", "passed")


def test_all_tests_run_and_the_machine_is_not_ready(world: World, boot: Callable[[], str]) -> None:
    add(world, "bad", "test", "echo broken; exit 1")
    add(world, "slow", "test", "echo begun; sleep 600", "timeout: 1")
    add(world, "good", "test", "exit 0")
    machine = world.machine()
    operation = world.start(machine, "test", scripts=["bad", "slow", "good"])
    assert boot() == "power_off"
    assert {name: run.status for name, run in runs(world).items()} == {"bad": "failed", "slow": "timeout", "good": "passed"}
    failure = world.operation(operation).failure or {}
    assert failure["message"] == "node-1: tests failed: bad (exit status 1), slow (not done after 1 s)"
    assert (world.reload(machine).state, world.reload(machine).test_status) == ("failed", "failed")


def test_a_script_that_restarts_the_machine_goes_on_with_the_next_boot(world: World, boot: Callable[[], str]) -> None:
    add(world, "bios", "test", '[ "$METALWRIGHT_REBOOTS" = 2 ] || { echo "again"; reboot; }; echo done', "may_reboot: true")
    machine = world.machine()
    operation = world.start(machine, "test", scripts=["bios"])
    assert [boot(), boot(), boot()] == ["restart", "restart", "power_off"]
    found = runs(world)["bios"]
    assert (found.status, found.reboots, found.output) == ("passed", 2, "done\n")
    assert world.operation(operation).phase == "power-off"
