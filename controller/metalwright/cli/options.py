# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from metalwright.errors import Invalid

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
wait_option = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the operation has ended.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, flag_value="true", default=None, help="Say what would be, and change nothing."
)
"""Its value goes into the query of a request as it is: ``true``, or None."""
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file of the controller.  [default: METALWRIGHT_CONFIG, else /etc/metalwright/metalwright.toml]",
)


def given_only(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as a body: those given several times as lists. Raises ``Invalid`` if there is none."""
    body = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value not in (None, ())}
    if not body:
        raise Invalid("nothing_to_change", "Nothing to change was named.", "The option --help lists what there is.")
    return body


def bounds(text: str, option: str) -> tuple[str, str]:
    """Read ``FIRST-LAST``, or one address, which is both."""
    first, dash, last = text.partition("-")
    if not first.strip() or (dash and not last.strip()):
        raise click.BadParameter(f"{text!r} is not FIRST-LAST.", param_hint=option)
    return first.strip(), (last or first).strip()


def key_values(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    """Read ``KEY=VALUE`` pairs; ``KEY=@FILE`` takes the value from a file, so that no password stands in a list of processes."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE.", param_hint=option)
        found[key] = read_text(Path(value[1:])).rstrip("\n") if value.startswith("@") else value
    return found


def read_text(path: Path) -> str:
    """The text of a file that the user named; raises ``Invalid`` (``file_unreadable``) saying which and why."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Invalid("file_unreadable", f"{path} can not be read: {reason}.") from None


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; raises ``click.Abort`` when the answer is no."""
    if not yes:
        click.confirm(question, abort=True, err=True)
