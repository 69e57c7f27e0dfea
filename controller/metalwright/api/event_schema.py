# SPDX-License-Identifier: GPL-3.0-or-later
"""The event log as the API shows it."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from metalwright.api.endpoint import Schema
from metalwright.api.operation_schema import Named
from metalwright.store.events import as_dict
from metalwright.store.models import Event

LARGEST = (1 << 63) - 1
"""The largest cursor a database can be asked about."""


class EventView(TypedDict):
    """Something that happened. ``id`` counts up; ``machine`` keeps the name it had then."""

    id: int
    at: str
    kind: str
    message: str
    machine: Named | None
    operation: str | None
    data: dict[str, Any]


class Events(TypedDict):
    """Events in the order they happened; ask again with ``after=cursor`` for what comes next."""

    events: list[EventView]
    cursor: int


class EventQuery(Schema):
    """Which events. Of several machines, operations or kinds any fits."""

    after: int | Literal["latest"] = Field(0, description="Events after this cursor; latest: only what happens from now on.")
    limit: int = Field(100, ge=1, le=1000, description="Events in an answer at most.")
    machine: list[str] = Field([], description="Names or identifiers of machines.")
    operation: list[str] = Field([], description="Identifiers of operations.")
    kind: list[str] = Field([], description="Kinds, for example operation.succeeded.")
    wait: float = Field(0, ge=0, le=60, description="Seconds to wait for an event if there is none.")


def show(event: Event) -> EventView:
    """An event for the API."""
    return cast(EventView, as_dict(event))
