# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are told by command: names or a filter, one answer each, a rehearsal first if that is wanted."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from machines_there import add, add_ready
from processes import until
from running_controller import METALWRIGHT, RunningController

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ ops@example.com\n"
RESCUE = {"address": "10.9.9.9", "host_keys": ["ssh-ed25519 AAAA"], "since": "2026-11-21T12:00:00+00:00"}


def state(controller: RunningController, name: str) -> str:
    found: str = controller.json("machine", "show", name)["state"]
    return found


def test_each_machine_answers_for_itself_and_the_exit_code_tells_of_the_first_trouble(controller: RunningController) -> None:
    add_ready(controller, "many-1")
    add_ready(controller, "many-2", locked=True)
    done = controller.cli("machine", "mark-broken", "many-2", "many-1", "many-3", "--note", "flood")
    assert (done.returncode, done.stdout) == (4, "many-1: marked broken\n")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == ["error: many-2 is locked.", "error: There is no machine many-3."]
    assert controller.cli("machine", "mark-fixed", "many-1", "many-3").returncode == 3
    told = controller.cli("machine", "mark-fixed", "many-1", "many-3", "--json")
    assert told.returncode == 4  # it is fixed already, so the first trouble is another
    assert '"code": "machine_not_found"' in told.stdout


def test_a_filter_says_which_machines(controller: RunningController) -> None:
    for name in ("cellar-1", "cellar-2"):
        add_ready(controller, name, pool="cellar")
    add_ready(controller, "cellar-3", pool="cellar", zone="wet")
    rehearsed = controller.cli("machine", "lock", "--pool", "cellar", "--zone", "default", "--dry-run")
    assert rehearsed.stdout.splitlines() == ["cellar-1: would be locked", "cellar-2: would be locked"]
    done = controller.cli("machine", "lock", "--pool", "cellar", "--zone", "default")
    assert done.stdout.splitlines() == ["cellar-1: locked", "cellar-2: locked"]
    assert [each["locked"] for each in controller.json("machine", "list", "--pool", "cellar")] == [True, True, False]
    assert controller.cli("machine", "unlock", "--pool", "cellar").stdout.count(": unlocked") == 3
    nobody = controller.cli("machine", "lock", "--pool", "attic")
    assert (nobody.returncode, nobody.stdout) == (0, "")
    assert nobody.stderr == "There is no machine that fits: all machines with pool attic.\n"


@pytest.mark.parametrize(
    "which", [[], ["a", "--pool", "x"], ["a", "--all"], ["--all", "--state", "ready"], ["--state", "asleep"]]
)
def test_which_machines_are_meant_must_be_plain(controller: RunningController, which: list[str]) -> None:
    done = controller.cli("machine", "lock", *which)
    assert (done.returncode, done.stdout) == (2, "")


def test_all_machines_are_asked_about_first(controller: RunningController) -> None:
    add_ready(controller, "everybody")
    refused = controller.cli("machine", "lock", "--all")
    assert refused.returncode == 130
    assert "For all machines: go on?" in refused.stderr
    assert controller.json("machine", "show", "everybody")["locked"] is False
    assert "everybody: would be locked" in controller.cli("machine", "lock", "--all", "--dry-run").stdout
    assert "everybody: locked" in controller.cli("machine", "lock", "--all", "--yes").stdout
    controller.cli("machine", "unlock", "--all", "--yes")


@pytest.mark.parametrize("action", ["commission", "test", "release", "exit-rescue", "power off"])
def test_a_rehearsal_starts_nothing(controller: RunningController, action: str) -> None:
    name = f"rehearsed-{action.replace(' ', '-')}"
    add_ready(controller, name, state="rescue" if action == "exit-rescue" else "ready")
    done = controller.cli("machine", *action.split(), name, "--dry-run")
    assert done.stdout == f"{name}: would start {action.replace(' ', '-')}\n", done.stderr
    assert controller.json("operation", "list", "--machine", name) == []


def test_a_rescue_needs_keys_and_show_says_how_to_log_in(controller: RunningController, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(KEY)
    add_ready(controller, "sick")
    assert controller.cli("machine", "rescue", "sick").returncode == 2
    started = controller.json("machine", "rescue", "sick", "--ssh-key", str(tmp_path / "key.pub"), "--no-wait")
    assert (started["operation"]["kind"], state(controller, "sick")) == ("rescue", "rescuing")
    controller.cli("machine", "abort", "sick")
    add_ready(controller, "inside", state="rescue", former_state="ready", rescue=RESCUE)
    shown = controller.cli("machine", "show", "inside").stdout
    assert "ssh root@10.9.9.9" in shown
    assert "former state" in shown
    done = controller.cli("machine", "exit-rescue", "inside", timeout=120)
    assert done.stdout.startswith("inside: exit-rescue succeeded"), done.stderr
    assert state(controller, "inside") == "ready"


def test_show_and_list_say_why(controller: RunningController) -> None:
    failure: dict[str, Any] = {"code": "no_dhcp", "message": "sad: it never asked for an address", "hint": "Check its boot NIC."}
    failure |= {"phase": "netboot", "last_seen": "", "log_tail": "", "docs": ""}
    add_ready(controller, "sad", state="failed", failed_from="deploying", failure=failure, test_status="passed")
    power = {"code": "bmc_unreachable", "message": "its BMC is silent", "hint": "Is it plugged in?"}
    add_ready(controller, "dead", state="broken", former_state="ready", note="fan 3 is dead", power_failure=power)
    shown = controller.cli("machine", "show", "sad").stdout
    for words in ("sad: it never asked for an address", "Check its boot NIC.", "metalwright explain sad", "deploying", "passed"):
        assert words in shown
    shown = controller.cli("machine", "show", "dead").stdout
    for words in ("fan 3 is dead", "its BMC is silent", "Is it plugged in?"):
        assert words in shown
    listed = controller.cli("machine", "list").stdout
    assert "no_dhcp" in listed
    assert "fan 3 is dead" in listed


def test_an_adopted_machine_is_released_only_if_that_is_said(controller: RunningController, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY)
    add(controller, "old")
    done = controller.cli(
        "machine", "adopt", "old", "--address", "dhcp", "--image", "RHEL 6", "--host-keys", str(tmp_path / "keys")
    )
    assert done.stdout == "old: adopted\n", done.stderr
    shown = controller.json("machine", "show", "old")
    assert (shown["state"], shown["deployed"]["adopted"], shown["host_keys"]) == ("deployed", True, [KEY.strip()])
    refused = controller.cli("machine", "release", "old")
    assert refused.returncode == 4
    assert "wipe_adopted" in refused.stderr
    assert controller.cli("machine", "release", "old", "--wipe-adopted", "--erase", "full", "--dry-run").returncode == 0
    assert controller.cli("machine", "delete", "old", "--yes").returncode == 4
    assert controller.cli("machine", "delete", "old", "--force", "--yes").stdout == "old: deleted\n"


def test_a_failed_test_is_overridden(controller: RunningController) -> None:
    failure = {"code": "test_failed", "message": "bad: memory", "phase": "test", "last_seen": "", "log_tail": "", "hint": ""}
    add_ready(controller, "bad", state="failed", failed_from="testing", failure=failure)
    assert controller.cli("machine", "override-failed-test", "bad").stdout == "bad: used although a test failed\n"
    assert controller.json("machine", "show", "bad")["test_status"] == "overridden"


def test_converge_leads_to_a_state_and_says_so_when_a_machine_is_there(controller: RunningController) -> None:
    add_ready(controller, "there")
    add_ready(controller, "in-rescue", state="rescue", former_state="ready", rescue=RESCUE)
    add_ready(controller, "wet", state="broken", note="flood")
    names = ("there", "in-rescue", "wet")
    rehearsed = controller.cli("machine", "converge", *names, "--to", "ready", "--dry-run")
    assert rehearsed.stdout.splitlines() == ["there: is as wished", "in-rescue: would exit-rescue"]
    assert rehearsed.returncode == 4
    assert "flood" in rehearsed.stderr
    assert "metalwright machine mark-fixed wet" in rehearsed.stderr
    deployed = controller.cli("machine", "converge", "in-rescue", "--to", "deployed", "--image", "debian/12", "--dry-run")
    assert deployed.stdout == "in-rescue: would exit-rescue, then deploy\n", deployed.stderr
    done = controller.cli("machine", "converge", *names, "--to", "ready", timeout=120)
    assert done.returncode == 4
    assert [line.split("  (")[0] for line in done.stdout.splitlines()] == [
        "there: is as wished",
        "in-rescue: exit-rescue succeeded",
    ]
    again = controller.json("machine", "converge", "in-rescue", "--to", "ready")
    assert (again["plan"], again["operation"], again["error"]) == ([], None, None)
    assert controller.cli("machine", "converge", "there", "--to", "ready", "--image", "debian/12").returncode == 5
    hold = ("machine", "converge", "there", "--to", "allocated", "--into", "hadoop")
    said = [controller.cli(*hold, *more).stdout for more in (("--dry-run",), (), ())]
    assert said == ["there: would be allocated\n", "there: is allocated\n", "there: is as wished\n"]


def test_converge_waits_for_the_whole_plan(controller: RunningController) -> None:
    add_ready(controller, "long-way", state="rescue", former_state="new", hardware=None, rescue=RESCUE)
    command = [METALWRIGHT, "machine", "converge", "long-way", "--to", "ready"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=controller.environ, text=True, **pipes) as waiting:
        try:
            until(lambda: state(controller, "long-way") == "commissioning", "what follows is under way")
        finally:
            controller.cli("machine", "abort", "long-way")
            out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 8
    assert out.startswith("long-way: commission aborted")
    assert "error: long-way: commission was aborted." in err


def test_scripts_and_their_parameters_are_named(controller: RunningController) -> None:
    add_ready(controller, "tested")
    unknown = controller.cli("machine", "test", "tested", "--script", "there-is-none")
    assert unknown.returncode in (3, 4, 5)
    assert "there-is-none" in unknown.stderr
    assert controller.cli("machine", "test", "tested", "--parameter", "minutes=3").returncode == 5
    assert controller.cli("machine", "commission", "tested", "--test", "a", "--no-tests").returncode == 2


def test_adding_and_changing_are_rehearsed_too(controller: RunningController) -> None:
    done = controller.cli("machine", "add", "ghost", "--mac", "52:54:00:11:ee:01", "--dry-run")
    assert done.stdout == "ghost: would be added\n"
    assert controller.cli("machine", "show", "ghost").returncode == 3
    add_ready(controller, "solid")
    assert controller.cli("machine", "edit", "solid", "--zone", "attic", "--dry-run").stdout == "solid: would be changed\n"
    assert controller.cli("machine", "edit", "solid", "--zone", "default").stdout == "solid: unchanged\n"
    assert controller.cli("machine", "delete", "solid", "--dry-run").stdout == "solid: would be deleted\n"
    assert state(controller, "solid") == "ready"
