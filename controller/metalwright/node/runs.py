# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's protocol, as far as scripts are concerned.

POST /agent/<token>/scripts          -> the runs that have not ended, in order
GET  /agent/<token>/script/<run_id>  -> the script, as text
POST /agent/<token>/script/<run_id>  what became of it, or how far it is
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from flask import Blueprint, Response
from pydantic import Field
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, MetalwrightError, NotFound
from metalwright.lifecycle import script_runs
from metalwright.lifecycle.console import printable
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.script_choice import KINDS
from metalwright.node import calls, job
from metalwright.node.bodies import Message, read
from metalwright.node.console import Printed
from metalwright.node.plane import Plane
from metalwright.store.models import Operation, ScriptRun

RESULT_BYTES = 64 << 10
_DEPTH = 16


class Asked(Message):
    """The agent asks what is to be run."""


class Said(Message):
    """What the agent says of a run. ``exit_status`` is that of wait(2): negative for a signal."""

    status: Literal["running", "passed", "failed", "timeout", "skipped"]
    exit_status: Annotated[int, Field(ge=-255, le=255)] | None = None
    output: Printed = ""
    result: Any = None
    runtime_seconds: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] | None = None


def routes(plane: Plane) -> Blueprint:
    """``/agent/<token>/script...``."""
    room = Blueprint("runs", __name__, url_prefix="/agent")
    calls.check_tokens(room, plane)
    answers = Answers(plane)
    limits = plane.settings.limits

    @room.post("/<token>/scripts")
    def scripts(token: str) -> dict[str, Any]:
        read(Asked, limits.body_bytes)
        return answers.open_runs(token)

    @room.get("/<token>/script/<run_id>")
    def source(token: str, run_id: str) -> Response:
        return Response(answers.source(token, run_id), mimetype="text/plain", headers={"Cache-Control": "no-store"})

    @room.post("/<token>/script/<run_id>")
    def report(token: str, run_id: str) -> dict[str, Any]:
        return answers.report(token, run_id, read(Said, limits.body_bytes))

    return room


class Answers:
    """What the calls do."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def open_runs(self, token: str) -> dict[str, Any]:
        """The runs that have not ended; they are made at the first call.

        A script that had to run and failed when the machine restarted ends the operation here, as does one that was changed so
        that it can not run any more.
        """
        with self._plane.store.write() as session:
            operation = self._find(session, token, lock=True)
            failure: dict[str, Any] | None
            try:
                runs = script_runs.make(
                    session, operation, kept=self._plane.settings.limits.script_runs_kept, now=self._plane.clock()
                )
                failure = script_runs.verdict(session, operation, over=False)
            except MetalwrightError as error:
                failure = script_runs.gone(operation, error)
            if failure is not None:
                self._plane.engine.signal(session, operation, Signal.JOB_FAILED, failure)
                return {"runs": []}
            return {"runs": [_shown(run) for run in runs if run.status in script_runs.OPEN]}

    def source(self, token: str, run_id: str) -> str:
        """The text of the script."""
        with self._plane.store.session() as session:
            return _run(session, self._find(session, token), run_id).source

    def report(self, token: str, run_id: str, said: Said) -> dict[str, Any]:
        """Note how a run is. A sign of life too."""
        with self._plane.store.write() as session:
            operation = self._find(session, token, lock=True)
            run = _run(session, operation, run_id)
            result, complaint = _result(said.result)
            told = said.model_dump() | {"result": result, "output": said.output + complaint}
            script_runs.report(session, operation, run, told, self._plane.clock())
            session.flush()
            data = {"step": "scripts", "message": f"{run.script_name}: {run.status}"}
            calls.sign_of_life(self._plane, session, operation, data)
        return {"continue": True}

    def _find(self, session: Session, token: str, *, lock: bool = False) -> Operation:
        operation = calls.operation_of(session, token, self._plane.clock, lock=lock)
        if operation.kind not in KINDS or not job.working(operation):
            raise Conflict("no_scripts", "No script is run now.", "Say hello first.")
        return operation


def _run(session: Session, operation: Operation, run_id: str) -> ScriptRun:
    run = session.get(ScriptRun, run_id)
    if run is None or run.operation_id != operation.id:
        raise NotFound("not_found", "There is nothing here.")
    return run


def _shown(run: ScriptRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.script_name,
        "kind": run.kind,
        "timeout_seconds": run.timeout_seconds,
        "parallel": run.parallel,
        "may_reboot": run.may_reboot,
        "required": run.required,
        "parameters": run.parameters,
        "reboots": run.reboots,
    }


def _result(said: Any) -> tuple[dict[str, Any] | None, str]:
    """The object a script wrote, with nothing in it that can not be stored; or none, and a line that says why."""
    if said is None:
        return None, ""
    if not isinstance(said, dict):
        return None, "\n[the result is left out: it is no JSON object]\n"
    try:
        cleaned = _clean(said, 0)
    except ValueError as error:
        return None, f"\n[the result is left out: {error}]\n"
    if len(json.dumps(cleaned)) > RESULT_BYTES:
        return None, f"\n[the result is left out: it is larger than {RESULT_BYTES} bytes]\n"
    return cleaned, ""


def _clean(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise ValueError(f"it is nested more than {_DEPTH} deep")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): _clean(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, depth + 1) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
