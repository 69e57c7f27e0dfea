#!/usr/bin/env python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the reference pages that follow from the code: ``PAGES``, beside this file.

Run it after changing a command, a setting, the life cycle or a failure; a test holds pages and code together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from metalwright.cli.root import root
from metalwright.config import Deadlines, Settings
from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.operations import OPERATIONS, OperationKind, Phase, Signal
from metalwright.lifecycle.states import MEANINGS
from metalwright.lifecycle.transitions import ACTIONS, Transition, table
from metalwright.network.option_numbers import DECIDED, REGISTERED
from metalwright.power import drivers
from metalwright.power.description import DescribedDriver, describe

HERE = Path(__file__).parent
FOREIGN = frozenset({"lab"})
"""Commands that have a page of their own."""

CLI_HEAD = """# The `metalwright` command

<!-- Written by docs/reference/generate.py. -->

Client commands find the controller by `METALWRIGHT_URL`, `METALWRIGHT_TOKEN` and `METALWRIGHT_CA_PATH`, else by the file that
`metalwright init` wrote (`$XDG_CONFIG_HOME/metalwright/client.toml`, which is usually `~/.config/metalwright/client.toml`), else
they try http://127.0.0.1:5240. The token of that file is sent to the URL of that file only.

`init`, `serve`, `token`, `agent build`, `image build` and `image import` work on the controller's own host and read its
configuration ([configuration.md](configuration.md)).

With `--json` a command prints what the API answered: an object for one thing, a list for several. Results go to standard output;
progress, questions and errors go to standard error. An error is one line, `error: ...`, and usually a second, `hint: ...`, that
says what to do.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | any other error |
| 2 | wrong usage |
| 3 | the thing does not exist |
| 4 | conflict: it exists already, it is busy, or it is in the wrong state |
| 5 | the request is invalid or too large |
| 6 | not allowed: no token, or one that is wrong, expired or revoked |
| 7 | not available now: no controller answers, it can not work, or a tool is missing here |
| 8 | the operation waited for has failed or was aborted |
| 130 | interrupted |
"""

POWER_HEAD = """# Power drivers

<!-- Written by docs/reference/generate.py. -->

What a machine's `power` may be: `{"driver": NAME, "parameters": {...}}` in the API, `--power-driver NAME --power KEY=VALUE` on
the command line. Unknown parameters are errors. Secrets are encrypted in the database and never shown again; `********` in
their place keeps the one that is there. How to choose a driver, and what to do when it does not work:
[power](../how-to/power.md).
"""

CONFIGURATION_HEAD = """# Configuration

<!-- Written by docs/reference/generate.py. -->

One TOML file: the argument of `--config`, else `METALWRIGHT_CONFIG`, else `/etc/metalwright/metalwright.toml`. A missing default
file means that every setting has its default. Unknown names are errors.

A setting `[node] listen` may be overridden by the environment variable `METALWRIGHT_NODE__LISTEN`: section and name joined by two
underscores, the elements of a list separated by commas. One that stands in no section is overridden by its name alone:
`METALWRIGHT_DATA_DIR`.
"""

LIFECYCLE_HEAD = """# The life cycle of a machine

<!-- Written by docs/reference/generate.py. -->

A machine is in one of these states. `locked` is not one of them but a flag: nothing is done to a locked machine, and it is not
deleted. `metalwright explain MACHINE` says where a machine stands and every way out from there.
"""

LIFECYCLE_OPERATIONS = """
## Operations

An operation goes through its phases in order. A phase ends with a sign of the machine or of its BMC. Each has a deadline, counted
from the last sign of life and kept in the database, so that a restart of the controller neither loses nor extends it; `deadline`
is the setting in `[deadlines]` ([configuration.md](configuration.md)) and its default. When it passes, the controller finds out
from what it has seen why nothing more was heard ([failures.md](failures.md)).

- *harmless*: nothing on the machine has been changed. Failing or aborting here leaves the machine in its former state; elsewhere
  it leaves it `failed`, and every operation that starts from there may be started again at once.
- *tried again*: the machine is turned on anew, `deadlines.netboot_attempts` times altogether. That is not done where another
  machine answered in its place (`identity_mismatch`, `identity_conflict`): trying again would not help.
- *with a playbook*: left out of an operation that names none. Its deadline is counted from the beginning of the phase, and is
  what the request says (`playbook_timeout`), else the setting.
- *inquired into*: the agent is booted once more and reads on the machine's own disk why nothing was heard of the system there.
- A machine that asks for its boot script while the agent is at work has restarted: it begins anew, as one more attempt.
- When the agent of another machine answers in place of the one that is awaited, that agent is refused, and the machine itself is
  awaited as before, until its deadline from power-on is over.
"""

FAILURES_HEAD = """# Failures, by their code

<!-- Written by docs/reference/generate.py. -->

An operation that fails leaves a record `{code, message, phase, last_seen, log_tail, hint, docs}`: with the operation, with the
machine if that is `failed` by it, and in the failure of the Ansible module. `message` names the machine and what happened to it,
`phase` is the step of the operation ([lifecycle.md](lifecycle.md)), `last_seen` the last sign of the machine with its time,
`log_tail` the end of what the agent or the first boot printed, `hint` what usually causes it and what to do.

`metalwright explain MACHINE` shows it with every way out, `metalwright timeline MACHINE` where the time went, and
`metalwright operation console ID` what the machine printed.
"""

OPTIONS_HEAD = """# DHCP options

<!-- Written by docs/reference/generate.py. -->

What `/dhcp-options` and `metalwright dhcp-option` take beside a value: the number of an option, or its name. The value is text in
the form of the option's type; where it is a list, it may be one of JSON as well. An option that is not registered here has no
name, and its value is `hex`. How to set them: [network](../how-to/network.md).

| type | value |
|---|---|
| address | `10.0.0.1`, of the option's family |
| addresses | `10.0.0.1,10.0.0.2`; pairs: an even number of them |
| u8, u16, u32, s32 | `42`: a whole number of so many bits; `s32` may be negative; `u16s`: `68,296,508` |
| flag | `true` or `false` |
| text | printable ASCII without quotes, backslashes and commas |
| name | `lab.example.com`; names: a list |
| routes | `10.1.0.0/16 10.0.0.1,0.0.0.0/0 10.0.0.254`. A client that is given these ignores the gateway (RFC 3442) |
| hex | `01:02:ff` |
"""

EFFECTS = {
    "power.netboot": "power on, boot from the network",
    "power.on": "power on",
    "power.off": "power off",
    "power.cycle": "power off and on",
    "power.query": "the power driver is asked",
    "power.resume": "back to its disk, or off",
    "playbook.run": "the controller runs a playbook on it",
}
SIGNS = {
    Signal.POWER_DONE: "the power driver has done it",
    Signal.BOOT_SCRIPT: "it asks for its boot script",
    Signal.HELLO: "the agent reports",
    Signal.JOB_DONE: "the agent has done its steps",
    Signal.DEPLOYED: "cloud-init reports its end",
    Signal.PLAYBOOK_DONE: "the playbook succeeded",
}


def cli_page() -> str:
    """The page about every command."""
    context = click.Context(root, info_name="metalwright")
    return CLI_HEAD + "".join(_command_text(*each) for each in commands(root, context))


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command below a group that does something itself, with the context that knows its whole name."""
    for name in group.list_commands(context):
        if context.parent is None and name in FOREIGN:
            continue
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(name)
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from commands(command, below)
        else:
            yield command, below


def _command_text(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"\n## {context.command_path}\n", f"    {usage}\n", (command.help or "").strip().replace("\n\n", "\n\n")]
    rows = [record for each in command.params if isinstance(each, click.Option) and (record := each.get_help_record(context))]
    if rows:
        lines.append("\n| option | meaning |\n|---|---|")
        lines += [f"| `{names}` | {_cell(meaning)} |" for names, meaning in rows]
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """The page about every setting."""
    sections = {name: field for name, field in Settings.model_fields.items() if _is_section(field)}
    plain = {name: field for name, field in Settings.model_fields.items() if name not in sections}
    parts = [CONFIGURATION_HEAD, "\n## Outside any section\n\n", _settings(plain)]
    for name, field in sections.items():
        kind = field.annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            raise TypeError(name)
        parts += [f"\n## [{name}]\n\n{(kind.__doc__ or '').strip()}\n\n", _settings(kind.model_fields)]
    return "".join(parts)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _settings(fields: dict[str, FieldInfo]) -> str:
    rows = [f"| `{name}` | {_default(field)} | {_cell(field.description or '')} |" for name, field in fields.items()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ("", []):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def power_page() -> str:
    """The page about every power driver and its parameters."""
    return POWER_HEAD + "".join(_driver_text(describe(driver)) for driver in drivers().values())


def _driver_text(driver: DescribedDriver) -> str:
    rows = ["| parameter | default | meaning |", "|---|---|---|"]
    for each in driver["parameters"]:
        given = each["default"]
        shown = f"`{str(given).lower() if isinstance(given, bool) else given}`" if given not in (None, "") else "none"
        choices = f" One of {', '.join(f'`{choice}`' for choice in each['choices'])}." if each["choices"] else ""
        secret = " Secret." if each["secret"] else ""
        default = "**required**" if each["required"] else shown
        rows.append(f"| `{each['name']}` | {default} | {_cell(each['description'] + choices + secret)} |")
    table = "\n".join(rows) if driver["parameters"] else "It has no parameters."
    can = [
        "It can be asked whether the machine is on." if driver["answers"] else "It can not be asked whether the machine is on.",
        *(["`metalwright chassis add` finds the machines behind one address."] if driver["probes"] else []),
    ]
    return f"\n## {driver['name']}\n\n{driver['description']} {' '.join(can)}\n\n{table}\n"


def lifecycle_page() -> str:
    """The page about states, transitions and operations."""
    parts = [LIFECYCLE_HEAD, "\n| state | meaning |\n|---|---|\n"]
    parts += [f"| `{state}` | {_cell(meaning)} |\n" for state, meaning in MEANINGS.items()]
    lines = table()
    ways = [line for line in lines if line.by in OPERATIONS and "before anything" not in line.when]
    parts += ["\n## Where operations lead\n\n", _diagram(ways)]
    parts += ["\nAn operation that fails or is aborted before it has changed anything leads back to where it started.\n"]
    parts += ["\n## What people do at once\n\n", _diagram([line for line in lines if line.by in ACTIONS])]
    parts += ["\n## Every transition\n\n", _transitions(lines), LIFECYCLE_OPERATIONS]
    parts += [_operation(kind) for kind in OPERATIONS.values()]
    return "".join(parts)


def _diagram(lines: list[Transition]) -> str:
    """A state diagram for mermaid; what leads the same way is one arrow."""
    arrows: dict[tuple[str, str], dict[str, None]] = {}
    for line in lines:
        arrows.setdefault((line.before, line.after), {})["fails" if line.when == "failed or aborted" else line.by] = None
    drawn = [f"    {before} --> {after}: {', '.join(words)}" for (before, after), words in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *drawn, "```", ""])


def _transitions(lines: list[Transition]) -> str:
    """What leads from any of some states to any of others, in one row."""
    rows: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for line in lines:
        befores, afters = rows.setdefault((line.by, line.when), ({}, {}))
        befores[f"`{line.before}`"] = afters[f"`{line.after}`"] = None
    told = [
        f"| {', '.join(befores)} | {', '.join(afters)} | {by} | {_cell(when)} |" for (by, when), (befores, afters) in rows.items()
    ]
    return "\n".join(["| from | to one of | by | when |", "|---|---|---|---|", *told, ""])


def _operation(kind: OperationKind) -> str:
    starts = ", ".join(f"`{state}`" for state in sorted(kind.allowed))
    parts = [f"\n### {kind.name}\n", f"Starts from {starts}.\n"]
    if kind.netboots:
        installs = ", and `limits.installs` write their disk" if kind.limited else ""
        parts.append(f"At most `limits.boots` machines boot into the agent at once{installs}; the rest wait in line.\n")
    parts += ["| phase | begins with | ends when | deadline | when that passes | harmless |", "|---|---|---|---|---|---|"]
    return "\n".join([*parts, *(_phase(kind, phase) for phase in (*kind.phases, *kind.inquiry)), ""])


def _phase(kind: OperationKind, phase: Phase) -> str:
    begins = EFFECTS[phase.do] if phase.do else ""
    name_of_phase = f"{phase.name} (with a {phase.only_with})" if phase.only_with else phase.name
    deadline = f"`{phase.within}`, {Deadlines.model_fields[phase.within].default} s"
    then = "tried again" if phase.again else "inquired into" if phase.inquiry else "fails"
    name = "installed_system_silent" if kind.is_inquiry(phase.name) else phase.code
    code = f"[`{name}`](failures.md#{name})"
    return (
        f"| {name_of_phase} | {begins} | {SIGNS[phase.until]} | {deadline} | {then}; {code} | {'yes' if phase.harmless else ''} |"
    )


def failures_page() -> str:
    """The page about every failure."""
    rows = [f"| [`{code}`](#{code}) | {_cell(cause.what)} |\n" for code, cause in CAUSES.items()]
    told = [f"\n## {code}\n\n{cause.what}\n\n{cause.hint}\n" for code, cause in CAUSES.items()]
    return "".join([FAILURES_HEAD, "\n| code | what happened |\n|---|---|\n", *rows, *told])


def options_page() -> str:
    """The page about every DHCP option."""
    parts = [OPTIONS_HEAD]
    for family in (4, 6):
        parts.append(f"\n## DHCPv{family}\n\n| number | name | type |\n|---|---|---|\n")
        parts += [f"| {code} | `{name}` | {kind} |\n" for code, (name, kind) in REGISTERED[family].items()]
        parts.append(f"\nNot set by hand in DHCPv{family}:\n\n| number | name | because |\n|---|---|---|\n")
        rows = sorted(DECIDED[family].items())
        parts += [f"| {code} | {f'`{name}`' if name else ''} | {_cell(instead)} |\n" for code, (name, instead) in rows]
    return "".join(parts)


PAGES = {
    "cli.md": cli_page,
    "configuration.md": configuration_page,
    "power-drivers.md": power_page,
    "lifecycle.md": lifecycle_page,
    "failures.md": failures_page,
    "dhcp-options.md": options_page,
}


if __name__ == "__main__":
    for filename, page in PAGES.items():
        (HERE / filename).write_text(page(), encoding="utf-8")
