# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole jobs, from hello to the end, against the controller's side of the conversation."""

from __future__ import annotations

import ast
import io
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller_side import TOKEN, ControllerSide
from file_disks import file_disk
from remembered_end import End
from test_agent_write import serve

import metalwright.agent
from metalwright.agent.__main__ import boot_mac, boot_parameters, wait_until_ready
from metalwright.agent.abort import Abort
from metalwright.agent.client import Client
from metalwright.agent.console import KEPT_CHARACTERS, Console
from metalwright.agent.disks import Disk
from metalwright.agent.relay import AT_ONCE, Relay
from metalwright.agent.runner import Machine, Runner

IDENTITY = {"system_uuid": "4c4c4544-0042-3310-8031-b9c04f4b4c32", "serial": "ABC", "macs": ["52:54:00:aa:bb:cc"]}
PACKAGE = Path(metalwright.agent.__file__).parent


@pytest.fixture
def end() -> End:
    return End()


@pytest.fixture
def runner_on(client: Client, console: Console, abort: Abort, end: End, pauses: list[float]) -> Callable[..., Runner]:
    def make(*disks: Disk) -> Runner:
        machine = Machine("bios", "52:54:00:aa:bb:cc", IDENTITY, lambda: list(disks), lambda _disk: [], end)
        return Runner(machine, client, console, abort, pauses.append, tick=0.01)

    return make


def job(kind: str, action: str, *steps: dict[str, Any]) -> dict[str, Any]:
    machine = {"id": "m1", "name": "node-1"}
    return {"operation": "op1", "kind": kind, "machine": machine, "heartbeat": 10, "steps": list(steps), "action": action}


def said(side: ControllerSide) -> list[Any]:
    """What was said, without progress and console: they come when they come."""
    return [
        (body["step"], body["status"]) if path == "step" else path
        for path, body in side.said
        if path not in ("progress", "console")
    ]


def test_a_machine_is_commissioned(side: ControllerSide, runner_on: Callable[..., Runner], end: End) -> None:
    side.answers["hello"] = [(503, {}), (200, job("commission", "poweroff", {"name": "inspect"}))]
    side.answers["done"] = [(200, {"action": "poweroff"})]
    runner_on().job()
    assert said(side) == ["hello", "hello", ("inspect", "started"), "inventory", ("inspect", "finished"), "done"]
    hello = side.calls("hello")[0]
    assert hello == {
        "protocol": 1,
        "agent": "0.1.0",
        "identity": IDENTITY,
        "firmware": "bios",
        "boot_mac": "52:54:00:aa:bb:cc",
    }
    assert side.calls("inventory")[0]["inventory"]["schema"] == 1
    assert end.calls == ["power_off"]


@pytest.mark.parametrize(("loads", "calls"), [(True, ["load", "kexec"]), (False, ["load", "reboot"])])
def test_an_image_is_written_and_started(
    loads: bool, calls: list[str], side: ControllerSide, runner_on: Callable[..., Runner], end: End, tmp_path: Path
) -> None:
    data = b"an image" * 100_000
    disk = file_disk(tmp_path / "disk", 16 << 20)
    side.answers["hello"] = [(200, job("deploy", "kexec", serve(side, data)))]
    side.answers["done"] = [(200, {"action": "kexec"})]
    end.loads = loads
    runner_on(disk).job()
    assert said(side) == ["hello", ("write", "started"), ("write", "finished"), "done"]
    assert Path(disk.path).read_bytes()[: len(data)] == data
    assert side.calls("step")[-1]["result"]["disk"] == disk.id
    assert end.calls == calls


def test_all_disks_are_wiped_for_a_release(
    side: ControllerSide, runner_on: Callable[..., Runner], end: End, tmp_path: Path
) -> None:
    disk = file_disk(tmp_path / "disk", 4 << 20)
    Path(disk.path).write_bytes(b"x" * (4 << 20))
    side.answers["hello"] = [(200, job("release", "poweroff", {"name": "wipe", "mode": "quick", "disks": "all"}))]
    side.answers["done"] = [(500, {}), (200, {"action": "poweroff"})]
    runner_on(disk).job()
    finished = side.calls("step")[-1]
    assert (finished["step"], finished["status"]) == ("wipe", "finished")
    assert [(done["id"], done["method"]) for done in finished["result"]["disks"]] == [(disk.id, "quick")]
    assert not any(Path(disk.path).read_bytes()[: 1 << 20])
    assert end.calls == ["power_off"]


def test_a_failure_is_reported_with_the_last_lines_and_ends_in_power_off(
    side: ControllerSide, runner_on: Callable[..., Runner], end: End, tmp_path: Path
) -> None:
    step = serve(side, b"x" * (8 << 20))
    side.answers["hello"] = [(200, job("deploy", "kexec", step, {"name": "configure", "seed_url": "http://never/"}))]
    runner_on(file_disk(tmp_path / "disk", 1 << 20)).job()
    assert said(side) == ["hello", ("write", "started"), ("write", "failed")]
    failed = side.calls("step")[-1]
    assert failed["error"]["code"] == "disk_too_small"
    assert "too small" in failed["error"]["message"]
    assert "write: begins" in failed["log_tail"]
    assert end.calls == ["power_off"]


def test_the_token_is_in_no_failure(
    side: ControllerSide, runner_on: Callable[..., Runner], tmp_path: Path, printed: io.StringIO
) -> None:
    step = serve(side, b"x" * 1000)
    side.files.clear()
    side.answers["hello"] = [(200, job("deploy", "kexec", step))]
    runner_on(file_disk(tmp_path / "disk", 1 << 20)).job()
    failed = side.calls("step")[-1]
    assert failed["error"]["message"].startswith(f"{side.address}/files/***/image: HTTP 404")
    assert TOKEN not in str(failed)
    assert TOKEN not in printed.getvalue()


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"name": "rm -rf /"}, "knows no step 'rm -rf /'"),
        ({"name": "configure", "seed_url": "http://x/"}, "the job has written no image"),
        ({"name": "write", "format": "raw"}, "KeyError: 'image_bytes' at write.py:"),
        ({}, "knows no step 'None'"),
    ],
)
def test_a_step_that_can_not_be_done_is_an_agent_error(
    step: dict[str, Any], says: str, side: ControllerSide, runner_on: Callable[..., Runner], end: End
) -> None:
    side.answers["hello"] = [(200, job("deploy", "kexec", step))]
    runner_on().job()
    error = side.calls("step")[-1]["error"]
    assert error["code"] == "agent_error"
    assert says in error["message"]
    assert end.calls == ["power_off"]


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [(404, "not_found", "There is nothing here."), (409, "identity_mismatch", "This machine is not node-1.")],
)
def test_a_machine_that_is_not_wanted_says_why_waits_and_reboots(
    status: int,
    code: str,
    message: str,
    side: ControllerSide,
    runner_on: Callable[..., Runner],
    end: End,
    pauses: list[float],
    printed: io.StringIO,
) -> None:
    side.answers["hello"] = [(status, {"code": code, "message": message})]
    runner_on().job()
    assert f"{message} ({code})" in printed.getvalue()
    assert pauses == [60]
    assert end.calls == ["reboot"]


@pytest.mark.parametrize(
    "answer", [(200, {"continue": False}), (404, {"code": "not_found", "message": "There is nothing here."})]
)
def test_an_aborted_job_stops_in_the_middle_of_a_download(
    answer: tuple[int, Any], side: ControllerSide, runner_on: Callable[..., Runner], end: End, tmp_path: Path
) -> None:
    stopped = threading.Event()
    side.on_image = lambda: stopped.wait(20) and None
    side.answers["hello"] = [(200, job("deploy", "kexec", serve(side, b"x" * 1000)))]
    side.defaults["progress"] = answer
    disk = file_disk(tmp_path / "disk", 4 << 20)
    runner_on(disk).job()
    stopped.set()
    assert said(side) == ["hello", ("write", "started")]
    assert end.calls == ["power_off"]


@pytest.mark.parametrize("path", ["step", "done"])
def test_a_job_that_has_ended_meanwhile_is_not_gone_on_with(
    path: str, side: ControllerSide, runner_on: Callable[..., Runner], end: End
) -> None:
    side.answers["hello"] = [(200, job("commission", "poweroff", {"name": "inspect"}))]
    side.answers[path] = [(404, {"code": "not_found", "message": "There is nothing here."})]
    runner_on().job()
    assert end.calls == ["power_off"]


def test_progress_that_nobody_takes_does_not_hold_up_the_work(
    side: ControllerSide, runner_on: Callable[..., Runner], end: End, tmp_path: Path
) -> None:
    side.defaults["progress"] = (500, {})
    side.answers["hello"] = [(200, job("deploy", "reboot", serve(side, b"x" * 3_000_000)))]
    side.answers["done"] = [(200, {"action": "reboot"})]
    runner_on(file_disk(tmp_path / "disk", 4 << 20)).job()
    assert end.calls == ["reboot"]


def test_a_job_with_scripts_runs_them_on_the_way(side: ControllerSide, runner_on: Callable[..., Runner], end: End) -> None:
    side.answers["hello"] = [(200, job("commission", "poweroff", {"name": "inspect"}, {"name": "scripts", "kinds": ["test"]}))]
    side.answers["done"] = [(200, {"action": "poweroff"})]
    runner_on().job()
    assert said(side)[-4:] == [("scripts", "started"), "scripts", ("scripts", "finished"), "done"]
    assert end.calls == ["power_off"]


def test_a_script_that_wants_a_restart_gets_one_and_the_step_stays_open(
    side: ControllerSide, runner_on: Callable[..., Runner], end: End
) -> None:
    run = {"id": "r1", "name": "bios", "kind": "commissioning", "timeout_seconds": 30, "may_reboot": True}
    side.answers["scripts"] = [(200, {"runs": [run]})]
    side.files[f"/agent/{TOKEN}/script/r1"] = b"#!/bin/sh\nreboot\n"
    side.defaults["script/r1"] = (200, {"continue": True})
    side.answers["hello"] = [(200, job("commission", "poweroff", {"name": "scripts", "kinds": ["commissioning"]}))]
    runner_on().job()
    assert said(side) == ["hello", ("scripts", "started"), "scripts", "script/r1", "script/r1"]
    assert end.calls == ["restart bios"]


def test_a_rescued_machine_is_left_to_its_people(
    side: ControllerSide, runner_on: Callable[..., Runner], end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way in itself is tested with its own tests."""
    monkeypatch.setattr(
        "metalwright.agent.rescue.open_door", lambda step, _work: (["ssh root@here"], {"address": step["ssh_keys"]})
    )
    side.answers["hello"] = [(200, job("rescue", "stay", {"name": "rescue", "ssh_keys": ["ssh-ed25519 AAAA"]}))]
    side.answers["done"] = [(200, {"action": "stay"})]
    runner_on().job()
    assert side.calls("step")[-1]["result"] == {"address": ["ssh-ed25519 AAAA"]}
    assert (end.calls, end.login) == (["stay"], ["ssh root@here"])


def test_a_rescue_whose_end_was_not_answered_is_left_to_its_people_too(
    side: ControllerSide, runner_on: Callable[..., Runner], client: Client, end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``done`` has ended it and made its token void: for the next try, and for every report."""
    monkeypatch.setattr("metalwright.agent.rescue.open_door", lambda _step, _work: (["ssh root@here"], {}))
    monkeypatch.setattr(client, "_pause", lambda _seconds: client._abort.sleep(0.2))
    void = (404, {"code": "not_found", "message": "There is nothing here."})
    side.answers["hello"] = [(200, job("rescue", "stay", {"name": "rescue", "ssh_keys": []}) | {"heartbeat": 0.01})]
    side.answers["done"] = [(503, {})]
    side.defaults["done"] = void
    side.on["done"] = lambda: side.defaults.update(progress=void)
    runner_on().job()
    assert (end.calls, end.login) == (["stay"], ["ssh root@here"])


def test_an_inquiry_ends_with_its_verdict(side: ControllerSide, runner_on: Callable[..., Runner], end: End) -> None:
    side.answers["hello"] = [(200, job("deploy", "poweroff", {"name": "inquire"}))]
    runner_on().job()
    failed = side.calls("step")[-1]
    assert failed["error"]["code"] == "installed_system_dead"
    assert "no disk that is not removable" in failed["error"]["message"]
    assert end.calls == ["power_off"]


def heard(side: ControllerSide) -> str:
    """The console as a controller puts it together that has missed nothing."""
    text = ""
    for piece in side.calls("console"):
        assert piece["offset"] == len(text)
        text += piece["text"]
    return text


def test_the_controller_has_the_whole_console_before_the_end(
    side: ControllerSide, runner_on: Callable[..., Runner], printed: io.StringIO
) -> None:
    side.answers["hello"] = [(200, job("deploy", "poweroff", {"name": "wipe", "mode": "none"}))]
    runner_on().job()
    assert heard(side) == printed.getvalue()
    assert "wipe: failed: this agent can not wipe with mode='none'" in heard(side)
    paths = [path for path, _ in side.said]
    assert paths.index("console") < len(paths) - 1, "it came after the step's end"


def test_much_console_is_sent_in_pieces_and_again_where_the_controller_took_less(
    side: ControllerSide, client: Client, console: Console, printed: io.StringIO
) -> None:
    relay = Relay(client, console)
    for number in range(1000):
        console.say(f"line {number} of a lot of them, long enough to fill more than one piece of the console")
    side.answers["console"] = [(500, {}), (200, {"next": 100})]
    relay.send()
    assert len(side.calls("console")) == 1
    relay.send()
    pieces = side.calls("console")[1:]
    assert pieces[0]["offset"] == len(printed.getvalue()) - KEPT_CHARACTERS, "what is not kept any more"
    text = printed.getvalue()
    for piece in pieces:
        assert piece["text"] == text[piece["offset"] : piece["offset"] + len(piece["text"])]
        assert len(piece["text"]) <= AT_ONCE
    assert pieces[-1]["offset"] + len(pieces[-1]["text"]) == len(text)
    before = len(side.calls("console"))
    relay.send()
    assert len(side.calls("console")) == before, "nothing new"
    console.say("more")
    side.answers["console"] = [(200, {"next": len(text) + 4})]
    relay.send()
    assert [piece["offset"] for piece in side.calls("console")[before:]] == [len(text), len(text) + 4]


def test_a_console_that_nobody_wants_is_not_offered_again(side: ControllerSide, client: Client, console: Console) -> None:
    relay = Relay(client, console)
    side.answers["console"] = [(404, {"code": "not_found", "message": "There is nothing here."})]
    for _ in range(3):
        console.say("hello")
        relay.send()
    assert len(side.calls("console")) == 1


def test_an_unknown_machine_enlists(
    side: ControllerSide, console: Console, abort: Abort, end: End, pauses: list[float], printed: io.StringIO
) -> None:
    client = Client(f"{side.address}/agent/enlist", console, abort, pauses.append)
    machine = Machine("uefi", "52:54:00:aa:bb:cc", IDENTITY, list, lambda _disk: [], end)
    side.answers["/agent/enlist"] = [(503, {}), (202, {"machine": "m7", "action": "poweroff"})]
    Runner(machine, client, console, abort, pauses.append).enlist()
    body = side.calls("/agent/enlist")[-1]
    assert sorted(body) == ["boot_mac", "firmware", "identity", "inventory", "protocol"]
    assert body["inventory"]["schema"] == 1
    assert "m7" in printed.getvalue()
    assert end.calls == ["power_off"]


def test_the_kernels_command_line_is_read() -> None:
    parameters = boot_parameters("quiet metalwright.url=http://10.0.0.1:5248/agent/abc BOOTIF=01-52-54-00-AA-bb-cc ro x=1=2\n")
    assert parameters["metalwright.url"] == "http://10.0.0.1:5248/agent/abc"
    assert parameters["x"] == "1=2"
    assert boot_mac(parameters) == "52:54:00:aa:bb:cc"
    assert boot_mac({}) == ""


def test_it_runs_alone_under_its_other_name_and_touches_nothing_here(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "metalwright_agent")
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_module('metalwright_agent', run_name='__main__')",
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "not booted by a controller" in ended.stdout
    assert ended.stderr == ""


def test_it_waits_until_drivers_and_network_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = tmp_path / "ready"
    monkeypatch.setenv("METALWRIGHT_WAIT_FOR", str(ready))
    waiting = threading.Thread(target=wait_until_ready, daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    ready.touch()
    waiting.join(10)
    assert not waiting.is_alive()


def test_nothing_but_the_standard_library_is_imported() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            else:
                continue
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"
