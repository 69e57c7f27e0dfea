# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright dns``: how names are answered."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import given_only, json_option
from metalwright.cli.output import details, emit_json, told


@click.group()
def dns() -> None:
    """How names are answered."""


@dns.command()
@json_option
def show(as_json: bool) -> None:
    """Show how names are answered."""
    found = connect().get("dns")
    if as_json:
        emit_json(found)
        return
    lists = {key: found[key] or "the subnets" for key in ("query_from", "recurse_from")}
    shown = {"default domain": found["default_domain"], "forwarders": found["forwarders"] or "nobody is asked"}
    details({**shown, "query from": lists["query_from"], "recurse from": lists["recurse_from"], "ttl": f"{found['ttl']} s"})


@dns.command("set")
@click.option("--forwarder", "forwarders", multiple=True, help="Name server that is asked for names of others; several times.")
@click.option("--query-from", multiple=True, metavar="NETWORK", help="Who may ask for our names; several times.")
@click.option("--recurse-from", multiple=True, metavar="NETWORK", help="Who may ask for names of others; several times.")
@click.option("--ttl", type=int, help="Seconds an answer may be kept, where nothing else is said.")
@json_option
def set_dns(as_json: bool, **given: Any) -> None:
    """Change how names are answered; what is not named stays."""
    told(connect().patch("dns", body=given_only(given)), "dns", as_json=as_json)
