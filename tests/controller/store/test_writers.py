# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers of one SQLite database wait for each other, in one process and in several, and for nobody who has died."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from sqlalchemy import select

from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Event

HOLDS = """
import sys, time
from metalwright.store import Store
from metalwright.store.events import record
with Store(sys.argv[1]).write() as session:
    record(session, "test", "never committed")
    session.flush()
    print("holds", flush=True)
    time.sleep(600)
"""


def test_many_threads_write_and_nothing_is_lost(store: Store) -> None:
    def write() -> None:
        for number in range(10):
            with store.write() as session:
                record(session, "test", str(number))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with store.session() as session:
        assert len(session.scalars(select(Event.id)).all()) == 80


def test_the_turn_of_a_process_that_was_killed_is_over(store: Store) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(store.url)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    with other:
        assert other.stdout.readline() == b"holds\n"
        waiting = threading.Thread(target=_write, args=(store,))
        waiting.start()
        assert waiting.is_alive()
        other.kill()
        waiting.join(30)
    with store.session() as session:
        assert session.scalars(select(Event.message)).all() == ["mine"]


def test_a_place_where_no_file_can_be_made_is_no_obstacle(store: Store) -> None:
    beside = Path(f"{store.url.database}-turn")
    beside.unlink(missing_ok=True)
    beside.mkdir()
    _write(store)
    with store.session() as session:
        assert session.scalars(select(Event.message)).all() == ["mine"]


def _write(store: Store) -> None:
    with store.write() as session:
        record(session, "test", "mine")
