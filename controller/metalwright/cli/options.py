# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

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
