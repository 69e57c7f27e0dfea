# SPDX-License-Identifier: GPL-3.0-or-later
"""``GET /operations/{id}/console``: what was printed meanwhile: the agent, the first boot, the playbook."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint
from sqlalchemy import select
from typing_extensions import TypedDict

from metalwright.api import operation_schema
from metalwright.api.context import context
from metalwright.api.endpoint import Reply, endpoint
from metalwright.store.models import ConsoleLog

consoles = Blueprint("consoles", __name__)


class Printed(TypedDict):
    """The end of what one of them printed, 64 KiB at most."""

    source: Literal["agent", "first-boot", "playbook"]
    text: str
    updated_at: str


class Console(TypedDict):
    """What a machine printed during an operation; a source that said nothing is not there."""

    operation: str
    sources: list[Printed]


@endpoint(consoles, "GET", "/operations/<operation_id>/console", answers={200: Console}, errors=(404,))
def operation_console(operation_id: str) -> Reply:
    """Show the end of what the machine printed during an operation."""
    with context().store.session() as session:
        operation = operation_schema.find(session, operation_id, light=True)
        logs = session.scalars(select(ConsoleLog).where(ConsoleLog.operation_id == operation.id).order_by(ConsoleLog.source))
        sources = [{"source": log.source, "text": log.text, "updated_at": log.updated_at.isoformat()} for log in logs]
        return {"operation": operation.id, "sources": sources}
