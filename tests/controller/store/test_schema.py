# SPDX-License-Identifier: GPL-3.0-or-later
"""The migrations make exactly the tables that the models say, on both databases, and take them back."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from metalwright.store import Store, migrate
from metalwright.store.base import Base


@pytest.fixture(params=["store", "postgres_store"])
def either(request: Any) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


def test_the_newest_migration_is_the_one_that_the_code_wants() -> None:
    scripts = ScriptDirectory(str(migrate.Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == migrate.HEAD


def test_models_and_migrations_agree(either: Store) -> None:
    with either.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)
    assert found == []


def test_migrations_are_taken_back_and_applied_again(either: Store) -> None:
    migrate.downgrade(either, "base")
    assert inspect(either.engine).get_table_names() == ["alembic_version"]
    migrate.upgrade(either)
    assert migrate.current(either) == migrate.HEAD
