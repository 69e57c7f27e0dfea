# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server on a unix socket in a directory of its own, for the tests that need one; a database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from metalwright.config import Dns
from metalwright.network.domains import keep_default
from metalwright.store import Store, migrate
from metalwright.store.base import utcnow


class PostgresServer:
    """Runs as an unprivileged user, since PostgreSQL refuses to run as root; ends without a trace."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        assert found, "PostgreSQL is not installed: packaging/bootstrap.sh '[test,postgresql]' installs it"
        self._bin = found[-1]
        self.directory = Path(tempfile.mkdtemp(prefix="metalwright-postgres-"))
        self._numbers = count()
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        data = self.directory / "data"
        self._run("initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.start()
        store = Store(self.url("template1"))
        migrate.upgrade(store)
        with store.write() as session:
            keep_default(session, Dns().domain, utcnow())
        store.engine.dispose()

    def start(self) -> None:
        """Serve, after ``halt`` too; returns when it answers."""
        quick = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=60")
        settings = [word for each in quick for word in ("-c", each)]
        with (self.directory / "log").open("ab") as log:
            command = [self._bin / "postgres", "-D", self.directory / "data", "-k", self.directory, "-c", "listen_addresses="]
            self._process = subprocess.Popen([*command, *settings], stderr=log, cwd=self.directory, **self._as_user())
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.05)

    def halt(self) -> None:
        """Stop serving at once, connections or not; what was committed is there when it starts again."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def _as_user(self) -> dict[str, int]:
        return {"user": self._user.pw_uid, "group": self._user.pw_gid} if os.geteuid() == 0 else {}

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run([self._bin / program, *arguments], capture_output=True, cwd=self.directory, **self._as_user())
        assert done.returncode == 0, done.stderr.decode()

    def _answers(self) -> bool:
        done = subprocess.run([self._bin / "pg_isready", "-q", "-h", self.directory], capture_output=True)
        return done.returncode == 0

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg://tester@/{database}?host={self.directory}"

    def fresh(self) -> str:
        """The URL of a new database as a first start leaves it."""
        name = f"test_{next(self._numbers)}"
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def stop(self) -> None:
        """End it without waiting for clients, and remove everything."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()
        shutil.rmtree(self.directory)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of this process."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def postgres_store(postgres_server: PostgresServer) -> Iterator[Store]:
    """A PostgreSQL database as a first start leaves it."""
    store = Store(postgres_server.fresh())
    yield store
    store.engine.dispose()
