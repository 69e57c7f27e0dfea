# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells machines what to do, all in one request, and says for each what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from metalwright.cli.client import Client, connect, refusal
from metalwright.cli.failure import complain, stop
from metalwright.cli.output import emit_json
from metalwright.cli.selection import Selection
from metalwright.cli.waiting import complain_of, follow, summary
from metalwright.errors import MetalwrightError

Item = dict[str, Any]
"""What became of the request for one machine: ``machine, status, operation, error``, and of a converge its ``plan``."""


def tell(
    chosen: Selection,
    action: str,
    body: dict[str, Any],
    *,
    done: str = "",
    wait: bool = True,
    dry_run: str | None = None,
    as_json: bool = False,
) -> list[str]:
    """Tell the machines an action; wait for the operations if that is wanted; returns the names of those that did well.

    ``done`` is what a machine is then, for actions that start no operation. Ends the command with the exit code of the first
    error when one or more refused or failed, after it has told all of them.
    """
    client = connect()
    answer = client.post("machines", "actions", action, body={**chosen.body, "parameters": body}, dry_run=dry_run)
    return report(client, chosen, answer["items"], done=done, wait=wait, dry_run=dry_run, as_json=as_json)


def report(
    client: Client,
    chosen: Selection,
    items: Sequence[Item],
    *,
    done: str = "",
    wait: bool = True,
    dry_run: str | None = None,
    as_json: bool = False,
) -> list[str]:
    """Say for each machine what became of it, in order; as ``tell``."""
    if not items:
        click.echo(f"There is no machine that fits: {chosen}.", err=True)
    refused = [_refusal(item) for item in items if item["error"]]
    for error in refused:
        complain(error)
    waited = [item for item in items if item["operation"]] if wait and not dry_run else []
    ended = follow(client, [item["operation"] for item in waited], quiet=as_json)
    for item, operation in zip(waited, ended, strict=True):
        item["operation"] = operation
    if as_json:
        emit_json(items[0] if chosen.one else list(items))
    else:
        for item in items:
            if item["error"] is None:
                click.echo(_line(item, done, dry_run=dry_run))
    stop([*refused, *complain_of(ended)])
    return [item["machine"] for item in items]


def _line(item: Item, done: str, *, dry_run: str | None) -> str:
    operation = item["operation"]
    if "plan" in item and (dry_run or operation is None):
        steps = ", then ".join(item["plan"])
        if not steps and item["diff"]["before"] != item["diff"]["after"]:  # a machine that only had to be held
            return f"{item['machine']}: {'would be' if dry_run else 'is'} {item['diff']['after']['state']}"
        return f"{item['machine']}: {f'would {steps}' if steps else 'is as wished'}"
    if operation is None:
        return f"{item['machine']}: {'would be ' if dry_run else ''}{done}"
    if dry_run:
        what = "abort" if operation["state"] == "aborted" else "start"
        return f"{item['machine']}: would {what} {operation['kind']}"
    return summary(operation)


def _refusal(item: Item) -> MetalwrightError:
    told = item["error"]
    return refusal(told["code"], told["message"], told["hint"], told["details"], item["status"])
