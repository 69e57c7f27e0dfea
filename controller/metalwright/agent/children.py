# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the system's programs: from argument lists, never through a shell, and no longer than the job is wanted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from .abort import Abort
from .errors import CommandFailed

_DYING = 10.0


def run(arguments: Sequence[str], abort: Abort, *, timeout: float = 60.0) -> str:
    """Run a program to its end and return what it printed on its standard output.

    ``timeout`` is in seconds. Raises ``CommandFailed``, and ``Aborted`` when the job was aborted meanwhile (the program is
    killed then).
    """
    abort.check()
    name = arguments[0]
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise CommandFailed(f"{name} can not be started: {error.strerror}") from error
    with abort.cancelling(process.kill):
        try:
            output, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # not even that ends who waits for a disk which does not answer
                process.communicate(timeout=_DYING)
            raise CommandFailed(f"{name} did not end within {timeout:.0f} s") from error
    abort.check()
    if process.returncode != 0:
        said = " ".join((complaint or output).split())[-300:]
        raise CommandFailed(f"{name} failed with status {process.returncode}: {said or 'it said nothing'}")
    return output
