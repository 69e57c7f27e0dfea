# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright serve``: runs the controller in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from metalwright.cli.failure import OTHER, complain
from metalwright.cli.options import config_option
from metalwright.errors import MetalwrightError


@click.command()
@config_option
@click.pass_context
def serve(context: click.Context, config: Path | None) -> None:
    """Run the controller until SIGTERM or Ctrl-C.

    SIGHUP writes the DHCP and DNS configuration anew. Sockets passed by systemd under the name admin are used instead of
    [admin] listen, and systemd is told when the controller is ready.
    """
    import gc

    gc.disable()  # a tenth of the start; switched on again when the services are forked

    from metalwright.serve import logs

    logs.configure()  # before anything else imports structlog

    from metalwright.config import load
    from metalwright.serve.controller import run

    try:
        run(load(config))
    except MetalwrightError as error:
        complain(error)
        context.exit(OTHER)
