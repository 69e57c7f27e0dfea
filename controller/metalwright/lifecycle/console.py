# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of what was printed during an operation, by its source: the agent, the first boot, the playbook."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from metalwright.lifecycle.tokens import blanked
from metalwright.store.models import ConsoleLog, Operation

CHARACTERS = 64 << 10
"""Kept of each source of an operation."""


def printable(text: str) -> str:
    """The text without control characters and tokens: it is shown on terminals and pages."""
    return blanked("".join(character for character in text if character.isprintable() or character in "\n\t"))


def of(session: Session, operation: Operation, source: str) -> ConsoleLog:
    """The log of a source, locked, made if it is the first time."""
    log = session.get(ConsoleLog, (operation.id, source), with_for_update=True)
    if log is None:
        log = ConsoleLog(operation_id=operation.id, source=source, text="", length=0)
        session.add(log)
    return log


def append(session: Session, operation: Operation, source: str, text: str, now: datetime) -> None:
    """Keep ``text`` after what is there already."""
    log = of(session, operation, source)
    log.text = (log.text + printable(text))[-CHARACTERS:]
    log.length += len(text)
    log.updated_at = now


def replace(session: Session, operation: Operation, source: str, text: str, now: datetime) -> None:
    """Keep ``text`` as all there is of a source."""
    log = of(session, operation, source)
    log.text = printable(text)[-CHARACTERS:]
    log.length = len(text)
    log.updated_at = now
