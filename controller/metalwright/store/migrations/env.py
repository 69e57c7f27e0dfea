# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's entry point; run by ``metalwright.store.migrate`` with a connection it is given."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from metalwright.store import models  # noqa: F401  (fills the metadata)
from metalwright.store.base import Base, UtcDateTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our column types as what the database sees: a migration must not change when our code does."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
