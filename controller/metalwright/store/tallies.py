# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that only grow, kept in the database so that restarts and the number of processes do not matter to ``/metrics``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from metalwright.store.models import Tally

Key = tuple[str, str]
"""Name and labels, the latter as ``key`` writes them."""


def key(name: str, /, **labels: str) -> Key:
    """The key of a number."""
    return name, json.dumps(labels, separators=(",", ":"), sort_keys=True)


def add(session: Session, counts: Mapping[Key, float]) -> None:
    """Add to numbers; those that are not there yet begin at nought."""
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    # always in one order: two processes that add to the same numbers must not wait for each other crosswise
    for (name, labels), value in sorted(counts.items()):
        statement = insert(Tally).values(name=name, labels=labels, value=value)
        more = {"value": Tally.value + statement.excluded.value}
        session.execute(statement.on_conflict_do_update(index_elements=[Tally.name, Tally.labels], set_=more))


def all_of(session: Session) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every number by its name: pairs of labels and value."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, labels, value in session.execute(select(Tally.name, Tally.labels, Tally.value).order_by(Tally.name, Tally.labels)):
        found.setdefault(name, []).append((json.loads(labels), value))
    return found


def forget(session: Session, keys: list[Key]) -> None:
    """Drop numbers whose thing is gone."""
    for name, labels in keys:
        session.execute(delete(Tally).where(Tally.name == name, Tally.labels == labels))
