# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller of its own for every test: settings, a migrated database, a clock that is moved by hand, its admin plane."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from postgres import postgres_server, postgres_store
from still_clock import Clock

from metalwright.api.auth import issue
from metalwright.app import create_admin_app
from metalwright.config import Dns, Images, Node, Settings
from metalwright.lifecycle.engine import Engine
from metalwright.network.domains import keep_default
from metalwright.store import Store, migrate, sealed
from metalwright.store.base import utcnow

__all__ = ["postgres_server", "postgres_store"]  # fixtures


@pytest.fixture(scope="session", autouse=True)
def secret_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key to the credentials in the databases of this run, in child processes too."""
    path = tmp_path_factory.mktemp("key") / "secret.key"
    sealed.unlock(path, new=True)
    os.environ["METALWRIGHT_SECRET_KEY_FILE"] = str(path)
    return path


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a first start leaves it, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    store = Store(f"sqlite:///{path}")
    migrate.upgrade(store)
    with store.write() as session:
        keep_default(session, Dns().domain, utcnow())
    store.engine.dispose()
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "import").mkdir()
    return Settings(data_dir=tmp_path, node=Node(url="http://10.77.0.1:5248"), images=Images(import_dir=tmp_path / "import"))


@pytest.fixture
def store(settings: Settings, migrated: Path) -> Iterator[Store]:
    shutil.copy(migrated, settings.data_dir / "metalwright.db")
    store = Store(settings.database)
    yield store
    store.engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(settings: Settings, clock: Clock) -> Engine:
    return Engine(settings, clock)


@pytest.fixture
def app(settings: Settings, store: Store, clock: Clock) -> Flask:
    return create_admin_app(settings, store, clock)


@pytest.fixture
def client(app: Flask, store: Store, clock: Clock) -> FlaskClient:
    """A client of the admin plane that sends a valid token, of the name ``tester``."""
    with store.write() as session:
        _, raw = issue(session, "tester", now=clock())
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {raw}"
    return client
