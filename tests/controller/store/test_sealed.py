# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the database gives no secret away: not of machines, not of what is under way."""

from __future__ import annotations

from pathlib import Path

from metalwright.config import Settings
from metalwright.lifecycle.tasks import enqueue
from metalwright.store import Store
from metalwright.store.models import Machine, Operation, Task

USER_DATA = "#cloud-config\npassword: hunter2-in-user-data\n"
SOURCE = "https://reader:hunter2-in-url@images.example.com/debian.qcow2"


def stored(directory: Path) -> bytes:
    """All bytes of the database, what is in its write-ahead log included."""
    files = sorted(directory.glob("metalwright.db*"))
    assert any(path.name.endswith("-wal") for path in files)
    return b"".join(path.read_bytes() for path in files)


def test_what_is_under_way_is_encrypted(settings: Settings, store: Store) -> None:
    parameters = {"image": "debian/12", "user_data": USER_DATA}
    following = [{"kind": "deploy", "parameters": parameters}]
    with store.write() as session:
        machine = Machine(name="web1")
        operation = Operation(kind="deploy", machine=machine, state="running", from_state="ready")
        operation.parameters, operation.next = parameters, following
        session.add(operation)
        enqueue(session, "image.import", {"image": "one", "source": SOURCE})
    with store.session() as session:
        read = session.query(Operation).one()
        assert (read.parameters, read.next) == (parameters, following)
        assert session.query(Task).one().payload["source"] == SOURCE
        found = stored(settings.data_dir)
    assert b"image.import" in found, "the rows are there"
    assert b"hunter2" not in found


def test_empty_values_are_read_without_a_key(store: Store) -> None:
    with store.write() as session:
        session.add(Operation(kind="test", machine=Machine(name="web1"), from_state="ready"))
    with store.session() as session:
        raw = session.connection().exec_driver_sql("SELECT parameters, next FROM operation").one()
        assert tuple(raw) == ("{}", "[]")
        assert session.query(Operation).one().next == []
