# SPDX-License-Identifier: GPL-3.0-or-later
"""``explain`` and ``operation console``: what people read, and commands that exist."""

from __future__ import annotations

import shlex

import click
import pytest
from running_controller import RunningController

from metalwright.cli.root import root
from metalwright.config import Settings
from metalwright.lifecycle import explain
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.failures import failure
from metalwright.lifecycle.states import TRANSIENT, State
from metalwright.store import Store
from metalwright.store.models import Allocation, ConsoleLog, Interface, Machine, Operation


@pytest.mark.parametrize("state", [state for state in State if state not in TRANSIENT])
def test_every_command_that_is_named_exists(store: Store, engine: Engine, state: State) -> None:
    with store.write() as session:
        machine = Machine(name="node-1", state=state, hardware={"disks": []})
        machine.allocation = Allocation(name="hadoop", count=1) if state == State.ALLOCATED else None
        session.add(machine)
        session.flush()
        commands = [way["command"] for way in explain.explain(session, engine, machine)["ways"]]
    assert commands
    for command in commands:
        check(command)


def check(command: str) -> None:
    """Parse a command as a shell and click would, without doing it."""
    program, *words = shlex.split(command)
    assert program == "metalwright"
    context, found = click.Context(root, info_name=program), root
    while isinstance(found, click.Group):
        name = words.pop(0)
        below = found.get_command(context, name)
        assert below is not None, f"there is no command {command!r}"
        context, found = click.Context(below, info_name=name, parent=context), below
    found.make_context(found.name, words, parent=context.parent)


def test_a_failed_machine_is_explained(controller: RunningController) -> None:
    store = Store(Settings(data_dir=controller.data).database)
    with store.write() as session:
        machine = Machine(name="sad", state="failed", hardware={"disks": []}, failed_from="deploying")
        machine.interfaces = [Interface(mac="52:54:00:12:00:01", boot=True)]
        session.add(machine)
        session.flush()
        told = failure(
            "package_install_failed",
            "sad: cloud-init: package foo could not be installed: E: Unable to locate package foo",
            phase="first-boot",
            last_seen="2026-11-21T12:00:00+00:00 sad: cloud-init modules-final started",
            log_tail="Reading package lists...\nE: Unable to locate package foo",
        )
        machine.failure = told
        facts = {"parameters": {"image": "debian/12"}, "phase": "first-boot", "from_state": "ready", "failure": told}
        operation = Operation(kind="deploy", machine_id=machine.id, state="failed", **facts)
        operation.ended_at = operation.created_at
        session.add(operation)
        session.flush()
        session.add(ConsoleLog(operation_id=operation.id, source="first-boot", text="Reading package lists...\n"))
        identifier = operation.id
    store.engine.dispose()
    said = controller.cli("explain", "sad").stdout
    assert said.startswith("sad is failed: An operation failed after it had changed something.")
    assert f"deploy ({identifier}) failed in first-boot" in said
    assert "package_install_failed: Packages could not be installed." in said
    assert "Are their names right for this system" in said
    assert "             E: Unable to locate package foo\n" in said
    assert "metalwright machine deploy sad --image debian/12" in said.partition("You can")[2].partition("Not now")[0]
    assert "did not fail at a test" in said.partition("Not now")[2]
    assert controller.json("explain", "sad")["failure"]["code"] == "package_install_failed"
    printed = controller.cli("operation", "console", identifier)
    assert printed.stdout == "Reading package lists...\n" and "--- first-boot" in printed.stderr
    assert controller.json("operation", "console", identifier, "--source", "agent")["sources"] == []


def test_a_machine_that_is_not_there(controller: RunningController) -> None:
    assert controller.cli("explain", "nobody").returncode == 3
