# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that is not there for a moment fails nothing: what it interrupted is done again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from postgres import PostgresServer
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.tasks import Claimed, claim, enqueue
from metalwright.lifecycle.worker import Worker
from metalwright.store import Store
from metalwright.store.collisions import passing
from metalwright.store.models import Task


class Trouble:
    """A handler of tasks to which ``befall`` happens the first time."""

    def __init__(self, store: Store, engine: Engine, befall: Callable[[Claimed], None]) -> None:
        self.store = store
        self.engine = engine
        self.befall = befall
        self.tries = 0

    def carry_out(self, kind: str) -> list[tuple[str, str]]:
        """Add a task and have it done, twice if it is put back; state and code of the error after each time."""
        told = []
        with self.store.write() as session:
            enqueue(session, kind, {"image": "one"}, now=self.engine.clock())
        worker = Worker(self.store, self.engine, {kind: self._handle}, owner="a", threads=1)
        while claimed := claim(self.store, "a", self.engine.clock(), 15):
            worker.carry_out(claimed)
            with self.store.session() as session:
                task = session.get_one(Task, claimed.id)
                told.append((task.state, (task.error or {}).get("code", "")))
            clock: Any = self.engine.clock
            clock.advance(8)
        return told

    def _handle(self, task: Claimed) -> None:
        self.tries += 1
        if self.tries == 1:
            self.befall(task)


@pytest.mark.parametrize("kind", ["noop", "image.import"])
def test_a_session_that_the_server_ends_is_no_failure(postgres_store: Store, engine: Engine, kind: str) -> None:
    def ended(_task: Claimed) -> None:
        with postgres_store.write() as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert Trouble(postgres_store, engine, ended).carry_out(kind) == [("pending", ""), ("done", "")]


def test_a_server_that_is_restarted_is_no_failure(postgres_server: PostgresServer, postgres_store: Store, engine: Engine) -> None:
    def restarted(_task: Claimed) -> None:
        postgres_server.halt()
        try:
            with postgres_store.write() as session:
                session.execute(text("SELECT 1"))
        finally:
            postgres_server.start()

    assert Trouble(postgres_store, engine, restarted).carry_out("noop") == [("pending", ""), ("done", "")]


def test_a_full_disk_is_no_failure_yet(store: Store, engine: Engine) -> None:
    def full(_task: Claimed) -> None:
        try:
            with store.write() as session:
                session.execute(text("PRAGMA max_page_count = 1"))  # as many as there are: none can be added
                session.add_all(Task(kind="noop", owner=f"{number:064}") for number in range(1000))
        finally:
            store.engine.dispose()  # other connections have no limit

    assert Trouble(store, engine, full).carry_out("noop") == [("pending", ""), ("done", "")]


def test_a_statement_that_is_wrong_is_a_failure(store: Store, postgres_store: Store, engine: Engine) -> None:
    for each in (store, postgres_store):

        def wrong(_task: Claimed, each: Store = each) -> None:
            with each.write() as session:
                session.execute(text("SELECT nothing FROM nowhere"))

        assert Trouble(each, engine, wrong).carry_out("noop") == [("failed", "internal")]


def test_the_reason_is_one_line() -> None:
    lost = OperationalError("UPDATE", {}, Exception("the server closed the connection\nThis probably means"))
    for error, reason in ((lost, "the server closed the connection"), (PoolTimeout("QueuePool limit of size 5"), "QueuePool")):
        told = passing(error)
        assert told is not None
        assert (told.code, told.status) == ("database_unavailable", 503)
        assert reason in told.message and "probably" not in told.message
