# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``metalwright`` command.

One file a noun, imported only when that noun is used. Commands that talk to the controller need its URL and a token
(``client.py``); ``init``, ``serve``, ``token``, ``agent build``, ``image build`` and
``image import`` work on the controller's host itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from metalwright.cli.failure import INTERRUPTED, OTHER, complain, exit_code
from metalwright.cli.root import root
from metalwright.errors import MetalwrightError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        result = root.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except MetalwrightError as error:
        complain(error)
        return exit_code(error)
    except BrokenPipeError:  # the reader, head for one, has seen enough; what is still buffered must not raise at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OTHER
    return result if isinstance(result, int) else 0
