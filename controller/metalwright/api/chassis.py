# SPDX-License-Identifier: GPL-3.0-or-later
"""``POST /chassis``: all machines behind one address at once."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict

from metalwright import power
from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.machine_schema import Tags
from metalwright.lifecycle.allocation import Word
from metalwright.lifecycle.power_chassis import Outcome, Wanted, take_in

chassis = Blueprint("chassis", __name__)

PATIENCE = 50.0
"""Seconds in which everything there has to be found; clients wait for 60."""


class Chassis(Schema):
    """Where machines are looked for, and what those are given that are new."""

    driver: str = Field(max_length=32, description="A power driver that probes; GET /power/drivers tells which.")
    parameters: dict[str, Any] = Field({}, description="The driver's parameters without the one that names a machine.")
    name_filter: str = Field("*", min_length=1, max_length=255, description="Only machines of such names there: * ? [abc].")
    pool: Word = "default"
    zone: Word = "default"
    tags: Tags = []


class ChassisAdded(TypedDict):
    """What became of each machine there, and how many of them are new."""

    items: list[Outcome]
    added: int


@endpoint(chassis, "POST", "/chassis", body=Chassis, query=Change, answers={200: ChassisAdded}, errors=(409, 502))
def add_chassis(*, body: Chassis, query: Change) -> Reply:
    """Find all machines behind one address and add those that are new, going by their MAC addresses; others stay as they are."""
    here = context()
    found = power.probe(body.driver, body.parameters, PATIENCE)
    wanted = Wanted(body.driver, body.name_filter, body.pool, body.zone, list(body.tags))
    with here.change(dry_run=query.dry_run) as session:
        items = take_in(session, found, wanted, by=caller(), now=here.clock())
        return {"items": items, "added": sum(each["outcome"] == "added" for each in items)}
