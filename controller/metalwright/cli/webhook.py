# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright webhook``: where events are posted to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, json_option, read_text, yes_option
from metalwright.cli.output import age, emit_json, table
from metalwright.errors import NotFound, Unavailable


@click.group()
def webhook() -> None:
    """URLs to which events are posted."""


@webhook.command("list")
@json_option
def list_webhooks(as_json: bool) -> None:
    """List webhooks and how they are."""
    found = list(connect().items("webhooks"))
    if as_json:
        emit_json(found)
        return
    table(
        (
            ("NAME", lambda w: w["name"]),
            ("URL", lambda w: w["url"]),
            ("EVENTS", lambda w: w["events"] or "all"),
            ("DELIVERED", lambda w: f"{age(w['last_delivery_at'])} ago" if w["last_delivery_at"] else "never"),
            ("STATE", _state),
        ),
        found,
        "There are no webhooks. 'metalwright webhook set NAME --url URL' adds one.",
    )


def _state(found: dict[str, Any]) -> str:
    if not found["enabled"]:
        return "disabled"
    if not found["failures"]:
        return "well"
    given_up = f"; {found['given_up']} events given up" if found["given_up"] else ""
    return f"failing for {age(found['failing_since'])}: {found['last_error']}{given_up}"


@webhook.command("set")
@click.argument("name")
@click.option("--url", help="http:// or https://; required for a new one.")
@click.option("--event", "events", multiple=True, metavar="PATTERN", help="Kinds of events, for example 'operation.*'.")
@click.option("--all-events", is_flag=True, help="Every kind of event; so is a new one without --event.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the key of the signature. Without it a new webhook gets one, which is printed this once.",
)
@click.option("--verify-tls/--no-verify-tls", default=None, help="Verify the server's certificate.")
@click.option("--enable/--disable", "enabled", default=None, help="Post, or keep what happens for later.")
@json_option
def set_webhook(
    name: str, url: str | None, events: tuple[str, ...], all_events: bool, secret_file: Path | None, as_json: bool, **given: Any
) -> None:
    """Add a webhook, or change one: what is not named stays.

    For example: metalwright webhook set chat --url https://example.com/hook --event operation.failed --event webhook.given_up
    """
    if events and all_events:
        raise click.UsageError("--event and --all-events exclude each other.")
    body = {key: value for key, value in {"url": url, **given}.items() if value is not None}
    if events or all_events:
        body["events"] = list(events)
    if secret_file:
        body["secret"] = read_text(secret_file).strip()
    client = connect()
    try:
        changed = client.patch("webhooks", name, body=body)
    except NotFound as missing:
        if not url:
            missing.hint = "Name its --url to add it."
            raise
        changed = client.put("webhooks", name, body=body)
    if as_json:
        emit_json(changed)
        return
    click.echo(f"{name}: {'set' if changed['changed'] else 'unchanged'}")
    if changed["secret"]:
        click.echo(f"secret, shown this once: {changed['secret']}")


@webhook.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a webhook: nothing more is posted to it."""
    confirm(f"Delete webhook {name}?", yes=yes)
    connect().delete("webhooks", name)
    click.echo(f"{name}: deleted")


@webhook.command()
@click.argument("name")
@json_option
def test(name: str, as_json: bool) -> None:
    """Post a test event now and say what the server answered."""
    answer = connect().post("webhooks", name, "test")
    if as_json:
        emit_json(answer)
    elif answer["delivered"]:
        click.echo(f"{name}: delivered, the server answered {answer['status']} in {answer['seconds']} s")
    if not answer["delivered"]:
        raise Unavailable("webhook_not_delivered", f"{name} was not delivered: {answer['error']}.", "Look at that server.")
