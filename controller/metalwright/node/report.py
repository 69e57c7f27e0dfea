# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine's first boot reports: the finisher (``target/report.py``), or cloud-init's own webhook.

The finisher's last message decides. It is made from ``result.json``, which collects the errors of all stages and every module;
it is sent until it is acknowledged; and it brings the host keys. The webhook's events (``cloudinit/reporting/events.py``, JSON
without a content type) are noted and decide nothing: those of stages before the network never arrive, so the success of
``modules-final`` would say too little. What cloud-init prints comes with the finisher's messages, and its end is kept.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from flask import Blueprint
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.lifecycle import console, tokens
from metalwright.lifecycle.operations import Signal
from metalwright.node import cloud_init, telling
from metalwright.node.bodies import Message, Text, Word, cut, read_json
from metalwright.node.console import Printed
from metalwright.node.plane import Plane
from metalwright.store.events import record
from metalwright.store.models import Event, Operation

_HOST_KEY = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]{1,60} [A-Za-z0-9+/]{16,8192}={0,3}")
_LONGEST_AGO = 86400.0

Moment = Annotated[float, Field(ge=0, le=1e11)]


def valid_host_keys(lines: list[str]) -> list[str]:
    """Those lines that are public SSH host keys, without a comment."""
    return [line for line in lines if _HOST_KEY.fullmatch(line)]


class Stage(Message):
    """An event of cloud-init: a stage (``modules-config``) or a part of one (``modules-config/config-ssh``)."""

    origin: Literal["cloudinit"]
    name: Word
    description: Word = ""
    event_type: Literal["start", "finish"]
    result: Literal["SUCCESS", "WARN", "FAIL"] | None = None
    duration: Annotated[float, Field(ge=0, le=1e9)] | None = None


class StageTimes(Message):
    """A stage that has begun, by the machine's own clock, in seconds."""

    name: Literal["init-local", "init-network", "modules-config", "modules-final"]
    started: Moment
    finished: Moment | None = None
    failed: bool = False


class Progress(Message):
    """The finisher, while cloud-init works."""

    origin: Literal["metalwright"]
    event_type: Literal["progress"]
    now: Moment
    stages: Annotated[list[StageTimes], Field(max_length=8)] = []
    console: Printed = ""


class Finished(Message):
    """The finisher, at cloud-init's end. ``now`` and ``stages`` are there to tell the times; a report without them is one."""

    origin: Literal["metalwright"]
    event_type: Literal["finished"]
    status: Literal["done", "error"]
    now: Moment = 0
    stages: Annotated[list[StageTimes], Field(max_length=8)] = []
    errors: Annotated[list[Text], Field(max_length=64)] = []
    warnings: Annotated[list[Text], Field(max_length=64)] = []
    complaints: Annotated[list[Word], Field(max_length=64)] = []
    """Lines by which package managers said what they could not do."""
    console: Printed = ""
    datasource: Word = ""
    host_keys: Annotated[list[Annotated[str, cut(8192)]], Field(max_length=32), AfterValidator(valid_host_keys)] = []


Report = Stage | Progress | Finished
_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="event_type")])


def routes(plane: Plane) -> Blueprint:
    """``POST /report/<token>``."""
    room = Blueprint("report", __name__, url_prefix="/report")

    @room.post("/<token>")
    def report(token: str) -> dict[str, Any]:
        with plane.store.session() as session:
            tokens.look(session, token, plane.clock)
        try:
            said = _REPORT.validate_python(read_json(plane.settings.limits.body_bytes))
        except ValidationError as error:
            raise Invalid("invalid_body", error.errors(include_url=False, include_input=False)[0]["msg"]) from None
        with plane.store.write() as session:
            operation = tokens.find(session, token, plane.clock, lock=True)
            if operation.kind != "deploy":
                raise NotFound("not_found", "There is nothing here.")
            if operation.phase == "configure":
                return {"acknowledged": True}  # it did not hear that its end was heard
            if operation.phase != "first-boot":
                raise Conflict("too_early", "The agent has not reported its end yet.", "Report again.")
            if not isinstance(said, Stage) and said.console:
                console.replace(session, operation, "first-boot", said.console, plane.clock())
            if isinstance(said, Stage):
                _stage(plane, session, operation, said)
            elif isinstance(said, Progress):
                _progress(plane, session, operation, said)
            else:
                _finished(plane, session, operation, said)
        return {"acknowledged": True}

    return room


def _stage(plane: Plane, session: Session, operation: Operation, said: Stage) -> None:
    """Note a stage; of its parts only those that failed. Each counts as a sign of life."""
    failed = said.result == "FAIL"
    if "/" not in said.name or failed:
        data = said.model_dump(include={"name", "event_type", "result", "duration"}, exclude_none=True)
        _record(plane, session, operation, data, plane.clock())
    plane.engine.signal(session, operation, Signal.FIRST_BOOT, {"message": f"cloud-init: {said.description or said.name}"})


def _progress(plane: Plane, session: Session, operation: Operation, said: Progress) -> None:
    _note_stages(plane, session, operation, said)
    latest = said.stages[-1].name if said.stages else "not begun"
    plane.engine.signal(session, operation, Signal.FIRST_BOOT, {"message": f"cloud-init: {latest}"})


def _note_stages(plane: Plane, session: Session, operation: Operation, said: Progress | Finished) -> None:
    """Note what was not noted yet, at the moment it happened: as long ago as the machine's own clock says.

    That clock may be wrong, and may be put right in the meantime; so no event comes before the one that is noted last.
    """
    events = session.scalars(select(Event).where(Event.operation_id == operation.id).order_by(Event.id)).all()
    noted = {(event.data.get("name"), event.data.get("event_type")) for event in events if event.kind == "cloudinit.stage"}
    now = plane.clock()
    last = events[-1].at if events else now
    for stage in said.stages:
        facts: dict[str, Any] = {"name": stage.name, "event_type": "start"}
        for event_type, at in (("start", stage.started), ("finish", stage.finished)):
            if at is None or (stage.name, event_type) in noted:
                continue
            if event_type == "finish":
                facts |= {"result": "FAIL" if stage.failed else "SUCCESS", "duration": round(max(at - stage.started, 0), 3)}
            ago = timedelta(seconds=min(max(said.now - at, 0), _LONGEST_AGO))
            last = min(max(now - ago, last), now)
            _record(plane, session, operation, facts | {"event_type": event_type}, last)


def _finished(plane: Plane, session: Session, operation: Operation, said: Finished) -> None:
    """The end, good or bad, with the keys by which the machine is known from now on."""
    machine = operation.machine
    failure = _failure(operation, said)
    _note_stages(plane, session, operation, said)
    for warning in said.warnings:
        record(session, "cloudinit.warning", f"{machine.name}: {warning}", operation=operation, at=plane.clock())
    machine.host_keys = said.host_keys
    signal = Signal.FIRST_BOOT_FAILED if failure else Signal.DEPLOYED
    plane.engine.signal(session, operation, signal, failure or {"message": "cloud-init finished"})


def _failure(operation: Operation, said: Finished) -> dict[str, Any] | None:
    name = operation.machine.name
    if said.errors or said.status == "error":
        return cloud_init.failure(name, said.errors, said.complaints, said.console)
    if said.datasource and not said.datasource.startswith("DataSourceNoCloud"):
        return {
            "code": "seed_ignored",
            "message": f"{name}: cloud-init did not read its seed but used {said.datasource}",
        }
    return None


def _record(plane: Plane, session: Session, operation: Operation, data: dict[str, Any], at: datetime) -> None:
    verb = "started" if data["event_type"] == "start" else "failed" if data.get("result") == "FAIL" else "finished"
    message = f"{operation.machine.name}: cloud-init {data['name']} {verb}"
    telling.tell(plane, session, operation, "cloudinit.stage", message, data, at=at)
