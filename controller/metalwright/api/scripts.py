# SPDX-License-Identifier: GPL-3.0-or-later
"""``/scripts``: programs that machines run; and ``/machines/{m}/scripts``: what became of them there."""

from __future__ import annotations

from flask import Blueprint
from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session, defer

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.listing import moment_in, number_in, page
from metalwright.api.machines import find as find_machine
from metalwright.api.script_schema import (
    RunList,
    RunView,
    RunWhole,
    ScriptList,
    ScriptPut,
    ScriptView,
    ScriptWhole,
    show,
    show_run,
)
from metalwright.api.shapes import Listing
from metalwright.errors import NotFound
from metalwright.lifecycle import script_catalogue
from metalwright.store.events import record
from metalwright.store.models import Machine, ScriptRun

scripts = Blueprint("scripts", __name__)


@endpoint(scripts, "GET", "/scripts", query=ScriptList, answers={200: Listing[ScriptView]})
def list_scripts(*, query: ScriptList) -> Reply:
    """List scripts by name, those that come with Metalwright included."""
    fields = query.chosen(ScriptView.__annotations__)
    last = query.after(1)
    with context().store.session() as session:
        known = script_catalogue.every(session)
    found = [
        script
        for name, script in known.items()
        if (last is None or name > last[0])
        and (not query.kind or script.kind in query.kind)
        and query.automatic in (None, script.automatic)
        and query.builtin in (None, script.builtin)
    ]
    items = [{name: value for name, value in show(script).items() if name in fields} for script in found[: query.limit]]
    return page(found, query.limit, items, lambda script: (script.name,))


@endpoint(scripts, "GET", "/scripts/<name>", answers={200: ScriptWhole}, errors=(404,))
def get_script(name: str) -> Reply:
    """Show a script and its text."""
    with context().store.session() as session:
        script = script_catalogue.find(session, name)
    return {**show(script), "source": script.source}


@endpoint(
    scripts, "PUT", "/scripts/<name>", body=ScriptPut, query=Change, answers={200: ScriptWhole, 201: ScriptWhole}, errors=(409,)
)
def put_script(name: str, *, body: ScriptPut, query: Change) -> Reply:
    """Add a script (201) or replace it (200). Runs that have begun keep the text they began with."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        script, is_new, changed = script_catalogue.save(session, name, body.source, here.clock())
        if changed:
            message = f"script {name} was {'added' if is_new else 'changed'} by {caller()}"
            kind = "script.added" if is_new else "script.changed"
            record(session, kind, message, data={"script": name, "by": caller()}, at=here.clock())
    return {**show(script), "source": script.source}, 201 if is_new else 200


@endpoint(scripts, "DELETE", "/scripts/<name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_script(name: str, *, query: Change) -> Reply:
    """Delete a script; what became of it on machines is kept."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        script_catalogue.delete(session, name)
        message = f"script {name} was deleted by {caller()}"
        record(session, "script.deleted", message, data={"script": name, "by": caller()}, at=here.clock())
    return None


@endpoint(scripts, "GET", "/machines/<name>/scripts", query=RunList, answers={200: Listing[RunView]}, errors=(404,))
def list_runs(name: str, *, query: RunList) -> Reply:
    """List the runs of scripts on a machine, newest first; the last ones of each script are kept."""
    fields = query.chosen(RunView.__annotations__)
    with context().store.session() as session:
        machine = find_machine(session, name)
        order = (ScriptRun.created_at.desc(), ScriptRun.position.desc(), ScriptRun.id.desc())
        statement = select(ScriptRun).where(ScriptRun.machine_id == machine.id).order_by(*order).limit(query.limit + 1)
        statement = statement.options(defer(ScriptRun.output), defer(ScriptRun.source))
        for column, wanted in (
            (ScriptRun.kind, query.kind),
            (ScriptRun.status, query.status),
            (ScriptRun.script_name, query.script),
            (ScriptRun.operation_id, query.operation),
        ):
            if wanted:
                statement = statement.where(column.in_(wanted))
        if (last := query.after(3)) is not None:
            statement = statement.where(
                tuple_(ScriptRun.created_at, ScriptRun.position, ScriptRun.id) < (moment_in(last[0]), number_in(last[1]), last[2])
            )
        found = session.scalars(statement).all()
        items = [{name: value for name, value in show_run(run).items() if name in fields} for run in found[: query.limit]]
    return page(found, query.limit, items, lambda run: (run.created_at.isoformat(), str(run.position), run.id))


@endpoint(scripts, "GET", "/machines/<name>/scripts/<run>", answers={200: RunWhole}, errors=(404,))
def get_run(name: str, run: str) -> Reply:
    """Show a run with what it printed: by its identifier, or the newest of a script by the script's name."""
    with context().store.session() as session:
        found = _find_run(session, find_machine(session, name), run)
        return {**show_run(found), "output": found.output, "source": found.source}


def _find_run(session: Session, machine: Machine, run: str) -> ScriptRun:
    statement = select(ScriptRun).where(
        ScriptRun.machine_id == machine.id, or_(ScriptRun.id == run, ScriptRun.script_name == run)
    )
    found = session.scalar(statement.order_by((ScriptRun.id == run).desc(), ScriptRun.created_at.desc()).limit(1))
    if found is None:
        message = f"{machine.name} has run no script {run}."
        hint = f"See 'metalwright script runs {machine.name}'."
        raise NotFound("run_not_found", message, hint, machine=machine.name, script=run)
    return found
