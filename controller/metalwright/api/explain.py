# SPDX-License-Identifier: GPL-3.0-or-later
"""``GET /machines/{m}/explain``: a machine in plain words, with every way out from where it stands."""

from __future__ import annotations

from flask import Blueprint
from typing_extensions import TypedDict

from metalwright.api.context import context
from metalwright.api.endpoint import Reply, endpoint
from metalwright.api.machines import find
from metalwright.lifecycle import explain

explanations = Blueprint("explanations", __name__)


class Doing(TypedDict):
    """What is under way. ``otherwise``: what happens when nothing more is heard until ``deadline``, and why that may be."""

    operation: str
    kind: str
    state: str
    phase: str | None
    attempt: int
    message: str
    progress: int | None
    since: str
    last_seen: str
    deadline: str | None
    otherwise: str


class WhatFailed(TypedDict):
    """Why its last operation did not succeed. ``what``: what the code means; ``hint``: what usually causes it."""

    operation: str | None
    kind: str | None
    at: str | None
    code: str
    what: str
    message: str
    phase: str | None
    last_seen: str
    hint: str
    docs: str
    log_tail: str


class Way(TypedDict):
    """A way out: what to do, the states it may lead to, and if it is closed now (``refused``), why and what opens it."""

    action: str
    leads_to: list[str]
    command: str
    refused: str
    hint: str


class Explanation(TypedDict):
    """Where a machine stands, what it does or what it failed at, and every way out from there."""

    machine: str
    state: str
    meaning: str
    notes: list[str]
    doing: Doing | None
    failure: WhatFailed | None
    ways: list[Way]


@endpoint(explanations, "GET", "/machines/<name>/explain", answers={200: Explanation}, errors=(404,))
def explain_machine(name: str) -> Reply:
    """Explain a machine: where it stands, what it does or failed at and why, and what can be done about it."""
    here = context()
    with here.store.session() as session:
        return explain.explain(session, here.engine, find(session, name))
