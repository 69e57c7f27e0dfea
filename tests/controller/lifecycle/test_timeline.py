# SPDX-License-Identifier: GPL-3.0-or-later
"""The timeline: every event of an operation has its words, and the steps add up to the whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import metalwright
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.timeline import LABELS, NO_STEPS, timeline
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Event, Interface, Machine, Operation

LABELLED_BY_DATA = {"boot.dhcp", "agent.step", "agent.handover", "cloudinit.stage"}
OF_NO_OPERATION = {"boot.unknown"}
CODE = Path(metalwright.__file__).parent


RECORD = {"record", "_record", "_tell", "_once_an_attempt", "_once_while_booting", "fetched", "Sighting"}
"""Functions that are given the kind of an event."""


def kinds_in_the_code() -> set[str]:
    """Every event that a part of the controller may write into an operation's log."""
    kind = re.compile(r"(boot|agent|cloudinit|operation)\.[a-z_]+|machine\.(nic_taken|identity_conflict)|power\.(un)?reachable")
    files = [path for part in ("lifecycle", "node", "serve") for path in (CODE / part).rglob("*.py")]
    calls = [node for path in files for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    said = [argument for call in calls if _name(call) in RECORD for argument in call.args if isinstance(argument, ast.Constant)]
    return {text for each in said if isinstance(text := each.value, str) and kind.fullmatch(text)}


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_every_event_of_an_operation_has_a_label_or_is_no_step() -> None:
    known = {*LABELS, *NO_STEPS, *LABELLED_BY_DATA, *OF_NO_OPERATION}
    found = kinds_in_the_code()
    assert len(found) > 20
    assert found - known == set()


@pytest.fixture
def operation(store: Store, engine: Engine) -> str:
    with store.write() as session:
        machine = Machine(name="node-1", state="ready", hardware={"disks": []})
        machine.interfaces = [Interface(mac="52:54:00:00:00:0a", boot=True)]
        session.add(machine)
        session.flush()
        return engine.start(session, machine, "test", {}, by="test").id


def told(store: Store, clock: Any, operation: str, *events: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The timeline of an operation with these events, two seconds between each."""
    with store.write() as session:
        stored = session.get_one(Operation, operation)
        for kind, data in events:
            clock.advance(2)
            record(session, kind, f"node-1: {kind}", operation=stored, data=data, at=clock())
        clock.advance(2)
        return timeline(session, stored, clock)


def labels(told: dict[str, Any]) -> list[str]:
    return [step["label"] for step in told["steps"]]


def test_scripts_are_steps_by_their_end(store: Store, clock: Any, operation: str) -> None:
    found = told(
        store,
        clock,
        operation,
        ("power.netboot", {}),
        ("boot.dhcp", {"packet": "discover"}),
        ("boot.dhcp", {"packet": "ack"}),
        ("boot.start", {}),
        ("boot.script", {}),
        ("boot.kernel", {}),
        ("boot.dhcp", {"packet": "discover"}),
        ("agent.hello", {}),
        ("agent.step", {"step": "scripts", "status": "started"}),
        ("script.running", {"script": "cpu", "status": "running"}),
        ("script.running", {"script": "memory", "status": "running"}),
        ("script.passed", {"script": "cpu", "status": "passed"}),
        ("script.failed", {"script": "memory", "status": "failed"}),
        ("agent.step", {"step": "scripts", "status": "finished"}),
        ("agent.handover", {"action": "poweroff"}),
        ("power.changed", {}),
    )
    assert labels(found) == [
        "power on, boot from network",
        "firmware, until it asks for DHCP",
        "DHCP ack",
        "iPXE starts",
        "boot script",
        "kernel requested",
        "agent's kernel and root fetched and started",
        "agent loaded and started",
        "script: cpu passed",
        "script: memory failed",
        "agent: scripts finished",
        "agent's work done",
        "power call",
        "in netboot",
    ]
    assert sum(step["seconds"] for step in found["steps"]) == found["total_seconds"] == 17 * 2
    assert next(step["seconds"] for step in found["steps"] if step["label"] == "script: cpu passed") == 8


def test_rescue_inquiry_and_strangers_have_words_of_their_own(store: Store, clock: Any, operation: str) -> None:
    found = told(
        store,
        clock,
        operation,
        ("agent.refused", {}),
        ("machine.identity_conflict", {}),
        ("boot.contested", {}),
        ("operation.inquiry", {}),
        ("boot.local", {}),
        ("boot.dhcp", {"packet": "discover"}),
        ("agent.step", {"step": "rescue", "status": "finished"}),
        ("agent.handover", {"action": "stay"}),
    )
    assert labels(found)[:-1] == [
        "another machine's agent refused",
        "another machine with this identity",
        "boot script wanted by another too",
        "nothing heard, its disk is looked at",
        "firmware, until it boots from the disk",
        "boot from the disk",
        "agent: rescue finished",
        "ready for people to log in",
    ]
    assert sum(step["seconds"] for step in found["steps"]) == found["total_seconds"]


def test_event_whose_clock_was_behind_does_not_shorten_the_whole(store: Store, clock: Any, operation: str) -> None:
    with store.write() as session:
        stored = session.get_one(Operation, operation)
        clock.advance(10)
        record(session, "agent.hello", "hello", operation=stored, at=clock())
        early = record(session, "boot.kernel", "late to be written", operation=stored)
        early.at = stored.created_at
        clock.advance(5)
        found = timeline(session, stored, clock)
        assert session.query(Event).count() == 4
    assert [step["seconds"] for step in found["steps"]] == [10, 0, 5]
    assert found["total_seconds"] == 15
