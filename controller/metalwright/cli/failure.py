# SPDX-License-Identifier: GPL-3.0-or-later
"""How a failed command says so: two lines on standard error, and an exit code that tells a script what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

import click

from metalwright.errors import MetalwrightError

OTHER, USAGE, NOT_FOUND, CONFLICT, INVALID, NOT_ALLOWED, UNAVAILABLE, OPERATION_FAILED, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 8, 130

_BY_CODE = {"operation_failed": OPERATION_FAILED, "operation_aborted": OPERATION_FAILED}
_BY_STATUS = {
    400: INVALID,
    401: NOT_ALLOWED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    409: CONFLICT,
    413: INVALID,
    415: INVALID,
    422: INVALID,
    503: UNAVAILABLE,
}


def complain(error: MetalwrightError) -> None:
    """Print what happened and what to do about it."""
    click.echo(f"{click.style('error:', fg='red')} {error.message}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint:', fg='cyan')} {error.hint}", err=True)


def stop(errors: Sequence[MetalwrightError]) -> None:
    """End the command, with the exit code of the first of ``errors``, which were printed already; go on if there are none."""
    if errors:
        raise click.exceptions.Exit(exit_code(errors[0]))


def exit_code(error: MetalwrightError) -> int:
    """The exit code for an error; docs/reference/cli.md tells users what each means."""
    return _BY_CODE.get(error.code) or _BY_STATUS.get(error.status, OTHER)
