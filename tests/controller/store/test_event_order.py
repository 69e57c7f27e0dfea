# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader that follows the log by its cursor never misses an event, also on PostgreSQL, where small ids may commit late."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

import pytest
from sqlalchemy import func, select, text

from metalwright.api.auth import issue
from metalwright.app import create_admin_app
from metalwright.config import Settings
from metalwright.store import Store
from metalwright.store.events import horizon, read, record
from metalwright.store.models import Event


def seen(store: Store, after: int = 0) -> list[str]:
    with store.session() as session:
        return [event.message for event in read(session, after, 100)]


def test_an_event_that_commits_late_is_waited_for(postgres_store: Store) -> None:
    with postgres_store.write() as late:
        record(late, "test", "first")
        late.flush()
        with postgres_store.write() as quick:
            record(quick, "test", "second")
        with postgres_store.session() as session:
            assert session.scalars(select(Event.message)).all() == ["second"]
            assert horizon(session) == 0
        assert seen(postgres_store) == []
    assert seen(postgres_store) == ["first", "second"]


def test_what_was_before_the_open_transaction_is_read(postgres_store: Store) -> None:
    with postgres_store.write() as session:
        record(session, "test", "before")
    with postgres_store.write() as late:
        record(late, "test", "late")
        late.flush()
        with postgres_store.write() as quick:
            record(quick, "test", "quick")
        assert seen(postgres_store) == ["before"]
    assert seen(postgres_store) == ["before", "late", "quick"]


def test_a_transaction_that_is_rolled_back_holds_nobody_up(postgres_store: Store) -> None:
    with pytest.raises(RuntimeError):
        with postgres_store.write() as late:
            record(late, "test", "never")
            late.flush()
            with postgres_store.write() as quick:
                record(quick, "test", "quick")
            raise RuntimeError
    assert seen(postgres_store) == ["quick"]


def test_a_savepoint_that_is_rolled_back_takes_its_mark_with_it_and_the_next_event_sets_another(postgres_store: Store) -> None:
    with postgres_store.write() as late:
        nested = late.begin_nested()
        record(late, "test", "undone")
        late.flush()
        nested.rollback()
        record(late, "test", "late")
        late.flush()
        with postgres_store.write() as quick:
            record(quick, "test", "quick")
        assert seen(postgres_store) == []
    assert seen(postgres_store) == ["late", "quick"]


def test_other_databases_and_other_advisory_locks_do_not_matter(postgres_store: Store, postgres_server) -> None:
    elsewhere = Store(postgres_server.fresh())
    with elsewhere.write() as other, postgres_store.write() as also:
        record(other, "test", "elsewhere")
        other.flush()
        also.execute(text("SELECT pg_advisory_xact_lock(1), pg_advisory_xact_lock_shared(7, 7)"))
        with postgres_store.write() as session:
            record(session, "test", "here")
        assert seen(postgres_store) == ["here"]
    elsewhere.engine.dispose()


def test_the_api_waits_too_and_latest_is_no_later_than_what_is_settled(postgres_store: Store, settings: Settings, clock) -> None:
    client = create_admin_app(settings, postgres_store, clock).test_client()
    with postgres_store.write() as session:
        _, raw = issue(session, "tester", now=clock())
    headers = {"Authorization": f"Bearer {raw}"}
    client.get("/api/v1/events", headers=headers)
    with postgres_store.write() as late:
        record(late, "test", "late")
        late.flush()
        with postgres_store.write() as quick:
            record(quick, "test", "quick")
        latest = client.get("/api/v1/events?after=latest", headers=headers).json
        status = client.get("/api/v1/status", headers=headers).json
        assert latest == {"events": [], "cursor": 0}
        assert status["event_cursor"] == 0
        assert client.get("/api/v1/events", headers=headers).json["events"] == []
    found = client.get(f"/api/v1/events?after={latest['cursor']}", headers=headers).json
    assert [event["message"] for event in found["events"]] == ["late", "quick"]


def follow(store: Store, writers: Sequence[threading.Thread]) -> list[int]:
    """Read by the cursor while the writers write, and once more after."""
    found: list[int] = []
    while True:
        over = not any(writer.is_alive() for writer in writers)
        with store.session() as session:
            batch = read(session, found[-1] if found else 0, 7)
        found.extend(event.id for event in batch)
        if over and not batch:
            return found


def test_a_reader_beside_many_writers_gets_every_event_once_and_in_order(postgres_store: Store) -> None:
    """Transactions of random length, with savepoints and rollbacks; without the horizon this misses some in every run."""

    def write(seed: int) -> None:
        dice = random.Random(seed)
        for number in range(40):
            try:
                with postgres_store.write() as session:
                    for _ in range(dice.randint(1, 4)):
                        nested = session.begin_nested()
                        record(session, "test", f"{seed}/{number}")
                        session.flush()
                        time.sleep(dice.random() * 0.004)
                        if dice.random() < 0.3:
                            nested.rollback()
                        else:
                            nested.commit()
                    if dice.random() < 0.2:
                        raise RuntimeError
            except RuntimeError:
                continue

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for writer in writers:
        writer.start()
    found = follow(postgres_store, writers)
    with postgres_store.session() as session:
        assert found == list(session.scalars(select(Event.id).order_by(Event.id)))
        assert len(found) < (session.scalar(select(func.max(Event.id))) or 0)


@pytest.mark.parametrize("count", [1, 3])
def test_sqlite_has_one_writer_at_a_time(store: Store, count: int) -> None:
    with store.write() as session:
        for number in range(count):
            record(session, "test", str(number))
    with store.session() as session:
        assert horizon(session) == count
        assert [event.id for event in read(session, 0, 100)] == list(range(1, count + 1))
