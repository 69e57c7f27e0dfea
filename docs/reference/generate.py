#!/usr/bin/env python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the reference pages that follow from the code: ``PAGES``, beside this file.

Run it after changing a command or a setting; a test holds pages and code together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from metalwright.cli.root import root
from metalwright.config import Settings
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
underscores. `METALWRIGHT_DATA_DIR` and `METALWRIGHT_DATABASE_URL` override the two settings that stand in no section.
"""


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


PAGES = {"cli.md": cli_page, "configuration.md": configuration_page, "power-drivers.md": power_page}


if __name__ == "__main__":
    for filename, page in PAGES.items():
        (HERE / filename).write_text(page(), encoding="utf-8")
