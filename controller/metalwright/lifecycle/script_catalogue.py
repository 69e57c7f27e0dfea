# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scripts there are: those that come with Metalwright, read from its own files, and those that people have added.

The files are never copied into the database, so the two can not differ after an upgrade. Where an upgrade brings a script of a
name that somebody has used already, theirs stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.lifecycle.scripts import Definition, parse
from metalwright.store.models import Script

_PACKAGE = "metalwright.scripts"


@cache
def builtin() -> Mapping[str, Definition]:
    """The scripts that come with Metalwright, by name."""
    files = (file for file in resources.files(_PACKAGE).iterdir() if file.is_file() and not file.name.startswith("__"))
    found = [parse(file.read_text(encoding="utf-8"), builtin=True) for file in files]
    return {script.name: script for script in sorted(found, key=lambda script: script.name)}


def every(session: Session) -> dict[str, Definition]:
    """All scripts, by name."""
    known = {**builtin(), **{row.name: _of(row) for row in session.scalars(select(Script))}}
    return dict(sorted(known.items()))


def find(session: Session, name: str) -> Definition:
    """The script of that name. Raises ``NotFound`` (``script_not_found``)."""
    row = session.scalar(select(Script).where(Script.name == name))
    script = _of(row) if row is not None else builtin().get(name)
    if script is None:
        raise NotFound("script_not_found", f"There is no script {name}.", "See 'metalwright script list'.", script=name)
    return script


def save(session: Session, name: str, source: str, now: datetime) -> tuple[Definition, bool, bool]:
    """Add or replace a script; answers it, whether it is new, and whether anything has changed.

    Raises ``Invalid`` (``script_invalid``; ``script_name_differs`` where its header has another name) and ``Conflict``
    (``script_builtin``).
    """
    script = parse(source)
    if script.name != name:
        message = f"The script says that its name is {script.name}, but it was to be stored as {name}."
        raise Invalid("script_name_differs", message, "Change one of them.", script=name)
    row = session.scalar(select(Script).where(Script.name == name).with_for_update())
    if row is None:
        _check_not_builtin(name, "changed")
    is_new = row is None
    row = row or Script(name=name, created_at=now)
    changed = row.source != source
    if changed:
        _fill(row, script)
        row.updated_at = now
        session.add(row)
        session.flush()
    return script, is_new, changed


def delete(session: Session, name: str) -> None:
    """Forget a script; its runs stay. Raises ``NotFound`` (``script_not_found``) and ``Conflict`` (``script_builtin``)."""
    row = session.scalar(select(Script).where(Script.name == name))
    if row is None:
        _check_not_builtin(name, "deleted")
        find(session, name)
    session.delete(row)
    session.flush()


def _check_not_builtin(name: str, done: str) -> None:
    if name in builtin():
        message = f"The script {name} comes with Metalwright and can not be {done}."
        raise Conflict("script_builtin", message, "Add one of another name, and name it in operations.", script=name)


def _fill(row: Script, script: Definition) -> None:
    row.kind, row.title, row.source, row.timeout_seconds = script.kind, script.title, script.source, script.timeout
    row.parameters = {name: parameter.model_dump(exclude_none=True) for name, parameter in script.parameters.items()}
    row.hardware, row.may_reboot, row.destructive = script.hardware, script.may_reboot, script.destructive
    row.parallel, row.required, row.automatic = script.parallel, script.required, script.automatic


def _of(row: Script) -> Definition:
    return Definition.model_validate(
        {
            **{name: getattr(row, name) for name in Definition.model_fields if name not in ("timeout", "builtin")},
            "timeout": row.timeout_seconds,
        }
    )
