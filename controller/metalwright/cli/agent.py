# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright agent``: what machines boot from the network, made on the controller's host."""

from __future__ import annotations

from pathlib import Path

import click

from metalwright.cli.options import config_option, json_option
from metalwright.cli.output import emit_json
from metalwright.cli.progress import shown


@click.group()
def agent() -> None:
    """What machines boot from the network (on the controller's host)."""


@agent.command()
@click.option("--mirror", help="Package mirror; without it, the host's own or Debian's.")
@click.option("--force", is_flag=True, help="Build it even if the one that is there is of the same recipe.")
@config_option
@json_option
def build(mirror: str | None, force: bool, config: Path | None, as_json: bool) -> None:
    """Build the agent and install the boot loaders. Needed once before the first machine boots, and after an upgrade."""
    from metalwright.cli import local
    from metalwright.images import agent_build, loaders

    settings, _ = local.open_controller(config)
    loaders.install(settings.boot_dir / "loaders")
    before = agent_build.current(settings.boot_dir / "agent")
    with shown("agent", quiet=as_json) as progress:
        built = agent_build.build(settings.boot_dir / "agent", progress=progress, mirror=mirror, force=force)
    if as_json:
        made = {"built": built != before, "build_id": built.build_id}
        emit_json({**made, "kernel": str(built.kernel), "initrd": str(built.initrd)})
    else:
        click.echo(f"agent {built.build_id} is what machines boot now")
