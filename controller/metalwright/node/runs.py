# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's protocol, as far as scripts are concerned.

    POST /agent/<token>/scripts  -> the runs that have not ended, in order
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from metalwright.lifecycle import tokens
from metalwright.node.bodies import Message, read
from metalwright.node.plane import Plane


class Asked(Message):
    """The agent asks what is to be run."""


def routes(plane: Plane) -> Blueprint:
    """``/agent/<token>/script...``."""
    room = Blueprint("runs", __name__, url_prefix="/agent")

    @room.before_request
    def check_token() -> None:
        with plane.store.session() as session:
            tokens.find(session, (request.view_args or {}).get("token", ""), plane.clock)

    @room.post("/<token>/scripts")
    def scripts(token: str) -> dict[str, Any]:  # noqa: ARG001 - checked before
        read(Asked, plane.settings.limits.body_bytes)
        return {"runs": []}

    return room
