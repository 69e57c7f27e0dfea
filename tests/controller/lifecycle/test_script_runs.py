# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of scripts in the database: made once however many ask, kept as many as the settings say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from metalwright.errors import Invalid
from metalwright.lifecycle import script_runs
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.scripts import parse
from metalwright.store import Store
from metalwright.store.models import Interface, Machine, Operation, ScriptRun

SCRIPTS = ["cpu", "memory", "smart"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Store:
    """Each of the databases."""
    store: Store = request.getfixturevalue("store" if request.param == "sqlite" else "postgres_store")
    return store


def begin(store: Store, engine: Engine) -> str:
    """A test of the machine; its identifier."""
    with store.write() as session:
        machine = session.scalar(select(Machine))
        if machine is None:
            machine = Machine(name="node-1", state="ready", hardware={"schema": 1})
            machine.interfaces = [Interface(mac="52:54:00:00:00:01", boot=True)]
            session.add(machine)
            session.flush()
        return engine.start(session, machine, "test", {"scripts": SCRIPTS}, by="x").id


def make(store: Store, operation: str, clock: Any, kept: int = 10) -> list[str]:
    with store.write() as session:
        return [run.id for run in script_runs.make(session, session.get_one(Operation, operation), kept=kept, now=clock())]


def test_runs_are_made_once_however_many_ask_at_the_same_time(database: Store, engine: Engine, clock: Any) -> None:
    operation = begin(database, engine)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: make(database, operation, clock), range(6)))
    assert all(answer == answers[0] for answer in answers)
    with database.session() as session:
        runs = session.scalars(select(ScriptRun).order_by(ScriptRun.position)).all()
    assert [run.script_name for run in runs] == SCRIPTS


def test_the_last_ones_of_each_script_are_kept(database: Store, engine: Engine, clock: Any) -> None:
    made = []
    for _ in range(4):
        operation = begin(database, engine)
        made.append(make(database, operation, clock, kept=2))
        with database.write() as session:
            engine.abort(session, session.get_one(Operation, operation), by="x")
        clock.advance(60)
    with database.session() as session:
        kept = set(session.scalars(select(ScriptRun.id)))
    assert kept == {*made[-1], *made[-2]}


LINES = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "name: x",
        "kind: test",
        "parameters:",
        "  a: {type: int}",
        "  ? - b",
        "hardware: (",
        "timeout: 1e9",
        "x: !!python/name:os.system",
    ]
)


@given(st.lists(LINES, max_size=8))
def test_no_header_does_anything_but_be_read_or_refused(lines: list[str]) -> None:
    source = "#!/bin/sh\n# --- metalwright\n" + "".join(f"# {line}\n" for line in lines) + "# ---\n"
    try:
        assert parse(source).source == source
    except Invalid as refused:
        assert refused.code == "script_invalid"
        assert 1 <= refused.details["line"] <= source.count("\n") + 1
