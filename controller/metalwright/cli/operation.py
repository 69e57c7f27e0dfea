# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright operation``: what is going on and what went on."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.console import console
from metalwright.cli.options import dry_run_option, json_option
from metalwright.cli.output import age, details, emit_json, local_time, table
from metalwright.cli.waiting import finish, show_operations


@click.group()
def operation() -> None:
    """What is going on: list, wait, abort."""


operation.add_command(console)


@operation.command("list")
@click.option("--machine", help="Only operations of this machine.")
@click.option("--state", help="Only operations in this state: queued, running, succeeded, failed or aborted.")
@json_option
def list_operations(machine: str | None, state: str | None, as_json: bool) -> None:
    """List operations."""
    found = list(connect().items("operations", machine=machine, state=state))
    if as_json:
        emit_json(found)
        return
    table(
        (
            ("ID", lambda o: o["id"]),
            ("MACHINE", lambda o: o["machine"]["name"]),
            ("KIND", lambda o: o["kind"]),
            ("STATE", lambda o: o["state"]),
            ("PHASE", lambda o: o["phase"]),
            ("PROGRESS", lambda o: f"{o['progress']}%" if o["progress"] is not None else None),
            ("STARTED", lambda o: f"{age(o['created_at'])} ago"),
            ("BY", lambda o: o["requested_by"]),
            ("MESSAGE", lambda o: (o.get("failure") or {}).get("message") or o["message"]),
        ),
        found,
        "There are no operations.",
    )


@operation.command()
@click.argument("operation_id", metavar="ID")
@json_option
def show(operation_id: str, as_json: bool) -> None:
    """Show an operation."""
    found = connect().get("operations", operation_id)
    if as_json:
        emit_json(found)
        return
    failure = found.get("failure") or {}
    details(
        {
            "id": found["id"],
            "machine": found["machine"]["name"],
            "kind": found["kind"],
            "state": found["state"],
            "phase": found["phase"],
            "progress": f"{found['progress']}%" if found["progress"] is not None else None,
            "message": found["message"],
            "playbook": _run(found["playbook"]) if found["playbook"] else None,
            "failure": failure.get("message"),
            "hint": failure.get("hint"),
            "last seen": failure.get("last_seen"),
            "next": found["next"],
            "requested by": found["requested_by"],
            **{name: local_time(found[f"{name}_at"]) for name in ("created", "started", "ended") if found[f"{name}_at"]},
            "deadline": local_time(found["deadline"]) if found["deadline"] else None,
        }
    )


def _run(playbook: dict[str, Any]) -> str:
    """A playbook's name, how it went, and the numbers of its tasks that are not nought."""
    numbers = ", ".join(f"{count} {how}" for how, count in (playbook["recap"] or {}).items() if count)
    return f"{playbook['name']} {playbook['status']}" + (f": {numbers}" if numbers else "")


@operation.command("wait")
@click.argument("operation_ids", metavar="ID...", nargs=-1, required=True)
@json_option
def wait_for(operation_ids: tuple[str, ...], as_json: bool) -> None:
    """Wait until operations have ended; fails when one of them failed."""
    client = connect()
    finish(client, [client.get("operations", each) for each in operation_ids], as_json=as_json)


@operation.command()
@click.argument("operation_ids", metavar="ID...", nargs=-1, required=True)
@dry_run_option
@json_option
def abort(operation_ids: tuple[str, ...], dry_run: str | None, as_json: bool) -> None:
    """End operations that are under way."""
    client = connect()
    answers = [client.post("operations", each, "abort", dry_run=dry_run) for each in operation_ids]
    show_operations([answer["operation"] for answer in answers], as_json=as_json)
