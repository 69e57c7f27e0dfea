# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests about scripts carry, and scripts and their runs as the API shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from metalwright.api.endpoint import Schema
from metalwright.api.listing import Page
from metalwright.api.shapes import moment
from metalwright.lifecycle.scripts import SOURCE_CHARACTERS, Definition, Kind
from metalwright.store.models import ScriptRun

Status = Literal["pending", "running", "passed", "failed", "timeout", "skipped", "aborted"]


class ScriptPut(Schema):
    """A script to add or replace."""

    source: str = Field(
        min_length=1,
        max_length=SOURCE_CHARACTERS,
        description="The whole program: a line #!, a header in comments (docs/reference/scripts.md), the code.",
    )


class ScriptList(Page):
    """Filters of the list of scripts."""

    kind: list[Kind] = Field([], description="Any of these.")
    automatic: bool | None = Field(None, description="Those that run without being named, or those that do not.")
    builtin: bool | None = Field(None, description="Those that come with Metalwright, or those that do not.")


class RunList(Page):
    """Filters of the list of runs. Of several values of one filter any fits."""

    kind: list[Kind] = Field([], description="Kinds.")
    status: list[Status] = Field([], description="Statuses.")
    script: list[str] = Field([], description="Names of scripts.")
    operation: list[str] = Field([], description="Identifiers of operations.")


class ScriptParameter(TypedDict):
    """A parameter. ``default`` and ``choices`` are of its ``type``; None: there is none, or anything fits."""

    type: Literal["string", "int", "bool", "size", "duration"]
    default: str | int | float | bool | None
    description: str
    required: bool
    choices: list[str | int | float | bool] | None


class ScriptView(TypedDict):
    """A script. ``timeout`` is in seconds; ``hardware`` is an expression, empty: for every machine."""

    name: str
    kind: Kind
    title: str
    timeout: int
    parameters: dict[str, ScriptParameter]
    hardware: str
    may_reboot: bool
    destructive: bool
    parallel: bool
    required: bool
    automatic: bool
    builtin: bool


class ScriptWhole(ScriptView):
    """A script with its text."""

    source: str


class RunView(TypedDict):
    """A run of a script on a machine. ``parameters`` are what the script was given; ``result`` is what it wrote.

    ``operation`` is None when it is so old that it was forgotten.
    """

    id: str
    script: str
    kind: Kind
    status: Status
    required: bool
    exit_status: int | None
    runtime_seconds: float | None
    timeout_seconds: int
    reboots: int
    parameters: dict[str, str]
    result: dict[str, Any] | None
    operation: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None


class RunWhole(RunView):
    """A run with the end of what it printed, both streams, and the text of the script as it was run."""

    output: str
    source: str


def show(script: Definition) -> dict[str, Any]:
    """A script for the API, without its text."""
    return script.model_dump(exclude={"source"})


def show_run(run: ScriptRun) -> dict[str, Any]:
    """A run for the API, without its output."""
    plain = ("id", "kind", "status", "required", "exit_status", "runtime_seconds", "timeout_seconds", "reboots")
    return {
        **{name: getattr(run, name) for name in plain},
        "script": run.script_name,
        "parameters": run.parameters,
        "result": run.result,
        "operation": run.operation_id,
        "created_at": moment(run.created_at),
        "started_at": moment(run.started_at),
        "ended_at": moment(run.ended_at),
    }
