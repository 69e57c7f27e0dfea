# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright token``: access tokens of the API, straight in the database of this host's controller."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from metalwright.cli.options import config_option, confirm, json_option, yes_option
from metalwright.cli.output import age, emit_json, table


@click.group()
def token() -> None:
    """Access tokens of the API (on the controller's host)."""


@token.command()
@click.argument("name")
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires; without it, never.")
@config_option
@json_option
def create(name: str, days: int | None, config: Path | None, as_json: bool) -> None:
    """Make a token and print it, this once: only its hash is kept."""
    from metalwright.cli import local

    _, store = local.open_controller(config)
    raw = local.create_token(store, name, timedelta(days=days) if days else None)
    if as_json:
        emit_json({"name": name, "token": raw})
    else:
        click.echo(raw)


@token.command("list")
@config_option
@json_option
def list_tokens(config: Path | None, as_json: bool) -> None:
    """List tokens: names and dates."""
    from metalwright.cli import local

    _, store = local.open_controller(config)
    found = local.list_tokens(store)
    if as_json:
        emit_json(found)
        return
    columns = (
        ("NAME", lambda t: t["name"]),
        ("CREATED", lambda t: f"{age(t['created_at'])} ago"),
        ("LAST USED", lambda t: f"{age(t['last_used_at'])} ago" if t["last_used_at"] else "never"),
        ("EXPIRES", lambda t: t["expires_at"] or "never"),
    )
    table(columns, found, "There are no tokens. 'metalwright token create NAME' makes one.")


@token.command()
@click.argument("name")
@yes_option
@config_option
def revoke(name: str, yes: bool, config: Path | None) -> None:
    """Make a token worthless, at once."""
    from metalwright.cli import local

    _, store = local.open_controller(config)
    confirm(f"Revoke token {name}?", yes=yes)
    local.revoke_token(store, name)
    click.echo(f"{name}: revoked")
