# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a database to the schema of this version."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text

from metalwright.store import models
from metalwright.store.session import Store

HEAD = "0001"
"""The newest revision in ``migrations/versions``; a test holds the two together."""


def current(store: Store) -> str | None:
    """The revision of the database, or None when it is empty."""
    with store.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def upgrade(store: Store, revision: str = "head") -> None:
    """Apply all migrations that are missing, in one transaction. Does nothing on a database that is up to date."""
    if revision == "head" and current(store) == HEAD:
        return
    _run(store, "upgrade", revision)


def missing(store: Store) -> list[str]:
    """Tables and columns (``table.column``) that the models have and the database has not, sorted."""
    with store.engine.connect() as connection:
        found = {table: {column["name"] for column in has} for (_, table), has in inspect(connection).get_multi_columns().items()}
    lacking = []
    for table in models.Machine.metadata.tables.values():
        if table.name not in found:
            lacking.append(table.name)
        else:
            lacking += [f"{table.name}.{column.name}" for column in table.columns if column.name not in found[table.name]]
    return sorted(lacking)


def downgrade(store: Store, revision: str) -> None:
    """Take migrations back down to ``revision`` (``base``: all of them)."""
    _run(store, "downgrade", revision)


def _run(store: Store, direction: str, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    if store.is_sqlite and store.url.database:
        Path(store.url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with store.engine.connect() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if direction == "upgrade" else command.downgrade)(config, revision)
        connection.commit()
