# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright script`` against a real controller."""

from __future__ import annotations

from pathlib import Path

from running_controller import RunningController
from sqlalchemy import select

from metalwright.config import Settings
from metalwright.lifecycle import script_runs
from metalwright.lifecycle.engine import Engine
from metalwright.store import Store
from metalwright.store.base import utcnow
from metalwright.store.models import Machine

SOURCE = """#!/bin/sh
# --- metalwright
# name: burn
# kind: test
# title: Burns in
# timeout: 90m
# parameters:
#   for: {type: duration, default: 1h, description: How long}
#   deep: {type: bool, default: true}
# ---
echo burning
"""


def test_scripts_are_added_listed_shown_and_deleted(controller: RunningController, tmp_path: Path) -> None:
    file = tmp_path / "burn-in.sh"
    file.write_text(SOURCE)
    assert controller.cli("script", "add", str(file), "--dry-run").stdout == "burn: would be stored, test\n"
    assert controller.cli("script", "show", "burn").returncode == 3
    assert controller.cli("script", "add", str(file)).stdout == "burn: stored, test\n"
    listed = controller.cli("script", "list", "--kind", "test").stdout.splitlines()
    assert listed[1].split()[:5] == ["burn", "test", "no", "yes", "90m"]
    assert {line.split()[0] for line in listed[1:]} >= {"smart", "memory", "cpu", "disk-read", "disk-write", "network"}
    shown = controller.cli("script", "show", "burn").stdout
    assert "for (duration, default 1h): How long" in shown and "deep (bool, default true)" in shown
    assert controller.cli("script", "show", "burn", "--source").stdout == SOURCE
    assert controller.cli("script", "delete", "burn", "--yes").stdout == "burn: deleted\n"
    assert controller.cli("script", "delete", "smart", "--yes").returncode == 4


def test_a_header_that_is_wrong_is_told_before_anything_is_stored(controller: RunningController, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.sh", tmp_path / "bad.sh"
    good.write_text(SOURCE.replace("burn", "good"))
    bad.write_text(SOURCE.replace("90m", "soon"))
    done = controller.cli("script", "add", str(good), str(bad))
    assert done.returncode == 5
    assert done.stderr.startswith("error: The script is not valid, line 6: timeout: must be a duration")
    assert controller.cli("script", "show", "good").returncode == 3


def test_what_became_of_them_is_listed_and_printed(controller: RunningController, tmp_path: Path) -> None:
    file = tmp_path / "burn.sh"
    file.write_text(SOURCE)
    controller.json("script", "add", str(file))
    controller.json("machine", "add", "tested", "--mac", "52:54:00:12:00:01")
    assert controller.cli("script", "runs", "tested").stderr == "tested has run no such script.\n"
    settings = Settings(data_dir=controller.data)
    store, engine = Store(settings.database), Engine(settings)
    with store.write() as session:
        machine = session.scalars(select(Machine).where(Machine.name == "tested")).one()
        machine.state = "ready"
        operation = engine.start(session, machine, "test", {"scripts": ["burn"], "parameters": {"burn": {"for": "5m"}}}, by="x")
        (run,) = script_runs.make(session, operation, kept=10, now=utcnow())
        said = {"status": "failed", "exit_status": 3, "output": "burning\nit broke\n", "result": None, "runtime_seconds": 12.34}
        script_runs.report(session, operation, run, said, utcnow())
        session.flush()
        engine.abort(session, operation, by="x")
    store.engine.dispose()
    listed = controller.cli("script", "runs", "tested", "--status", "failed").stdout.splitlines()
    assert listed[1].split()[:7] == [run.id, "burn", "test", "failed", "3", "12.3", "s"]
    assert controller.json("script", "runs", "tested", "--kind", "release") == []
    printed = controller.cli("script", "output", "tested", "burn")
    assert printed.stdout == "burning\nit broke\n"
    assert printed.stderr.startswith("burn: failed (exit status 3) after 12.3 s")
    assert controller.json("script", "output", "tested", run.id)["parameters"] == {"for": "300", "deep": "true"}
    assert controller.cli("script", "output", "tested", "smart").returncode == 3
