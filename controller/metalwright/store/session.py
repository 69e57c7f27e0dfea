# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions: short, explicit, one writer at a time on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.orm import Session

from metalwright.store.writers import Turns

_WRITES = "metalwright_writes"


class Store:
    """A database by its URL.

    ``session()`` reads; ``write()`` is one transaction that commits at its end or leaves no trace. On SQLite a write
    begins with ``BEGIN IMMEDIATE`` when it is its turn, so that writers wait for each other instead of failing half-way;
    on PostgreSQL rows are locked as they are read with ``with_for_update``.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}  # events.py counts on it
        if self.is_sqlite:
            options = {"connect_args": {"timeout": 30}}
        self.engine: Engine = create_engine(self.url, hide_parameters=True, **options)  # they hold passwords and user-data
        self._turn: Callable[[], AbstractContextManager[None]] = nullcontext
        if self.is_sqlite:
            if self.url.database not in (None, "", ":memory:"):
                self._turn = Turns(f"{self.url.database}-turn").turn
            _prepare_sqlite(self.engine)
        else:
            _prepare_postgresql(self.engine)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for reading; nothing is committed."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One writing transaction: commits when the block ends well, rolls back when it raises."""
        with self._turn(), self.engine.connect().execution_options(**{_WRITES: True}) as connection:
            with Session(connection, expire_on_commit=False) as session, session.begin():
                yield session

    def dispose(self) -> None:
        """Close pooled connections; call after a fork, in the child."""
        self.engine.dispose(close=False)


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:  # a host that vanished in a transaction would hold its locks for hours
            cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
        connection.commit()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA busy_timeout = 30000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
