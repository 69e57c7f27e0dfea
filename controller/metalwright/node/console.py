# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines print while an operation works on them: the end of it is kept with the operation.

    POST /agent/<token>/console  {"offset": n, "text": "..."} -> {"next": m}

``offset`` counts characters from the agent's start. A piece that comes twice is kept once; where one is missing, that is said.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint
from pydantic import AfterValidator, Field
from sqlalchemy.orm import Session

from metalwright.errors import Invalid
from metalwright.lifecycle.console import CHARACTERS, of, printable
from metalwright.lifecycle.tokens import blanked
from metalwright.node import calls
from metalwright.node.bodies import Message, read
from metalwright.node.plane import Plane
from metalwright.store.models import ConsoleLog, Operation

MOST_MISSING = 1 << 20
"""Characters that a piece may be ahead of what is known."""
_MOST_OFFSET = 1 << 40
_STEERING = "\0"
"""Stands for each character that is not shown until a piece is put in its place, so that offsets into it stay true."""


class Piece(Message):
    """What the console said from character ``offset`` on."""

    offset: Annotated[int, Field(ge=0, le=_MOST_OFFSET)]
    text: Annotated[str, Field(max_length=1 << 20)]


Printed = Annotated[str, AfterValidator(lambda text: printable(text)[-CHARACTERS:])]
"""What a machine printed; of more than is kept the end."""


def routes(plane: Plane) -> Blueprint:
    """``/agent/<token>/console``."""
    room = Blueprint("console", __name__, url_prefix="/agent")
    calls.check_tokens(room, plane)

    @room.post("/<token>/console")
    def console(token: str) -> dict[str, Any]:
        said = read(Piece, plane.settings.limits.body_bytes)
        text = "".join(each if each.isprintable() or each in "\n\t" else _STEERING for each in said.text)
        with plane.store.write() as session:
            operation = calls.operation_of(session, token, plane.clock, lock=True)
            return {"next": add(session, operation, said.offset, text, plane.clock())}

    return room


def add(session: Session, operation: Operation, offset: int, text: str, now: datetime) -> int:
    """Keep what is new of a piece of the agent's console; answers the offset of what comes next.

    Raises ``Invalid`` (``console_offset``) for one that is far ahead of what is known: it would hide all that comes after it.
    """
    log = of(session, operation, "agent")
    known = log.length
    missing = offset - known
    if missing > MOST_MISSING:
        message = f"offset: {offset} is {missing} characters ahead of what {operation.machine.name} has sent"
        raise Invalid("console_offset", message, f"Go on from {known}.")
    new = text[max(-missing, 0) :]
    if new:
        gap = f"\n[{missing} characters are missing]\n" if missing > 0 else ""
        log.text = blanked(log.text + gap + new.replace(_STEERING, ""))[-CHARACTERS:]  # joined: a token may come in two pieces
        log.length = max(known, offset) + len(new)
        log.updated_at = now
    return log.length


def begin(session: Session, operation: Operation, now: datetime) -> None:
    """The agent has started, and counts from the beginning again."""
    log = session.get(ConsoleLog, (operation.id, "agent"))
    if log is not None and log.length:
        log.text = (log.text + "\n[the agent started again]\n")[-CHARACTERS:]
        log.length = 0
        log.updated_at = now
