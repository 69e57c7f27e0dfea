# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright script``: programs that machines run, and what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, dry_run_option, json_option, read_text, yes_option
from metalwright.cli.output import age, details, emit_json, table

_KINDS = click.Choice(["commissioning", "test", "release"])
_STATUSES = click.Choice(["pending", "running", "passed", "failed", "timeout", "skipped", "aborted"])


@click.group()
def script() -> None:
    """Programs that machines run: tests, commissioning, release."""


@script.command("list")
@click.option("--kind", "kinds", type=_KINDS, multiple=True, help="Only these; may be given several times.")
@json_option
def list_scripts(kinds: tuple[str, ...], as_json: bool) -> None:
    """List scripts, those that come with Metalwright included."""
    found = list(connect().items("scripts", kind=",".join(kinds)))
    if as_json:
        emit_json(found)
        return
    table(
        (
            ("NAME", lambda s: s["name"]),
            ("KIND", lambda s: s["kind"]),
            ("AUTOMATIC", lambda s: s["automatic"]),
            ("REQUIRED", lambda s: s["required"]),
            ("TIMEOUT", lambda s: _duration(s["timeout"])),
            ("PARAMETERS", lambda s: list(s["parameters"])),
            ("HARDWARE", lambda s: s["hardware"]),
            ("FROM", lambda s: "Metalwright" if s["builtin"] else "you"),
            ("TITLE", lambda s: s["title"]),
        ),
        found,
        "There are no scripts.",
    )


@script.command()
@click.argument("name")
@click.option("--source", is_flag=True, help="Print the program itself, nothing else.")
@json_option
def show(name: str, source: bool, as_json: bool) -> None:
    """Show a script and its parameters."""
    found = connect().get("scripts", name)
    if as_json:
        emit_json(found)
    elif source:
        click.echo(found["source"], nl=False)
    else:
        plain = ("name", "title", "kind", "hardware", "automatic", "required", "parallel", "destructive", "builtin")
        details(
            {
                **{key: found[key] for key in plain},
                "may reboot": found["may_reboot"],
                "timeout": _duration(found["timeout"]),
                "parameters": "\n".join(_parameter(*each) for each in found["parameters"].items()),
            }
        )


@script.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@dry_run_option
@json_option
def add(files: tuple[Path, ...], dry_run: str | None, as_json: bool) -> None:
    """Add scripts, or replace them; their headers say what they are called."""
    from metalwright.lifecycle.scripts import parse

    sources = [read_text(file) for file in files]
    names = [parse(source).name for source in sources]
    client = connect()
    stored = [
        client.put("scripts", name, body={"source": source}, dry_run=dry_run) for name, source in zip(names, sources, strict=True)
    ]
    if as_json:
        emit_json(stored)
        return
    for each in stored:
        click.echo(f"{each['name']}: {'would be stored' if dry_run else 'stored'}, {each['kind']}")


@script.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@yes_option
def delete(names: tuple[str, ...], yes: bool) -> None:
    """Delete scripts; what became of them on machines is kept."""
    confirm(f"Delete {', '.join(names)}?", yes=yes)
    client = connect()
    for name in names:
        client.delete("scripts", name)
        click.echo(f"{name}: deleted")


@script.command()
@click.argument("machine")
@click.option("--script", "scripts", multiple=True, help="Only of this script; may be given several times.")
@click.option("--kind", "kinds", type=_KINDS, multiple=True, help="Only of this kind; may be given several times.")
@click.option("--status", "statuses", type=_STATUSES, multiple=True, help="Only these; may be given several times.")
@click.option("--operation", help="Only those of this operation.")
@json_option
def runs(machine: str, as_json: bool, **given: Any) -> None:
    """List what became of scripts on a machine, newest first."""
    filters = {"script": given["scripts"], "kind": given["kinds"], "status": given["statuses"]}
    wanted = {name: ",".join(values) for name, values in filters.items()}
    found = list(connect().items("machines", machine, "scripts", **wanted, operation=given["operation"]))
    if as_json:
        emit_json(found)
        return
    table(
        (
            ("ID", lambda r: r["id"]),
            ("SCRIPT", lambda r: r["script"]),
            ("KIND", lambda r: r["kind"]),
            ("STATUS", lambda r: r["status"]),
            ("EXIT", lambda r: r["exit_status"]),
            ("TOOK", lambda r: f"{r['runtime_seconds']:.1f} s" if r["runtime_seconds"] is not None else None),
            ("WHEN", lambda r: f"{age(r['created_at'])} ago"),
            ("OPERATION", lambda r: r["operation"]),
        ),
        found,
        f"{machine} has run no such script.",
    )


@script.command()
@click.argument("machine")
@click.argument("run", metavar="SCRIPT|RUN")
@json_option
def output(machine: str, run: str, as_json: bool) -> None:
    """Print what a script printed on a machine: the newest run of a script, or the run with that identifier.

    How it ended goes to standard error.
    """
    found = connect().get("machines", machine, "scripts", run)
    if as_json:
        emit_json(found)
        return
    click.echo(found["output"], nl=False)
    took = f" after {found['runtime_seconds']:.1f} s" if found["runtime_seconds"] is not None else ""
    status = f" (exit status {found['exit_status']})" if found["exit_status"] is not None else ""
    click.echo(f"{found['script']}: {found['status']}{status}{took}, {age(found['created_at'])} ago", err=True)


def _duration(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _parameter(name: str, told: dict[str, Any]) -> str:
    facts = [told["type"]]
    if told["required"]:
        facts.append("required")
    if told["default"] is not None:
        facts.append(f"default {_value(told['default'])}")
    if told["choices"] is not None:
        facts.append(f"one of {', '.join(_value(choice) for choice in told['choices'])}")
    return f"{name} ({', '.join(facts)})" + (f": {told['description']}" if told["description"] else "")


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
