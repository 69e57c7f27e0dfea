# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright rule``: what follows for machines from their hardware."""

from __future__ import annotations

from typing import Any

import click

from metalwright.cli.client import connect
from metalwright.cli.options import confirm, json_option, yes_option
from metalwright.cli.output import details, emit_json, local_time, table

_LABELS = {"pool": "pool {}", "zone": "zone {}", "power_driver": "power driver {}", "hostname_pattern": "name {}"}


@click.group()
def rule() -> None:
    """Rules over the hardware: tags, pools, zones and names follow from it."""


@rule.command("list")
@json_option
def list_rules(as_json: bool) -> None:
    """List rules in the order in which they are applied."""
    found = list(connect().items("rules"))
    if as_json:
        emit_json(found)
        return
    columns = (
        ("POSITION", lambda r: r["position"]),
        ("NAME", lambda r: r["name"]),
        ("ENABLED", lambda r: r["enabled"]),
        ("WHEN", lambda r: r["when"]),
        ("THEN", lambda r: _actions(r["actions"])),
    )
    table(columns, found, "There are no rules. 'metalwright rule set NAME --when CONDITION --tag TAG' makes one.")


@rule.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a rule."""
    found = connect().get("rules", name)
    if as_json:
        emit_json(found)
        return
    shown = {key: found[key] for key in ("name", "position", "enabled", "when")}
    details({**shown, "then": _actions(found["actions"]), "changed": local_time(found["updated_at"])})


@rule.command("set")
@click.argument("name")
@click.option("--when", required=True, help="Condition, for example: 'memory >= 64GiB and nic.vendor ~ Mellanox'.")
@click.option("--tag", "add_tags", multiple=True, help="Tag to give; may be given several times.")
@click.option("--untag", "remove_tags", multiple=True, help="Tag to take away; may be given several times.")
@click.option("--pool", help="Pool to put the machine into.")
@click.option("--zone", help="Zone to put the machine into.")
@click.option("--power-driver", help="Power driver, set only if the machine has the parameters it needs.")
@click.option("--hostname", "hostname_pattern", metavar="PATTERN", help="Name to give, for example r{rack}-{serial}.")
@click.option("--position", type=click.IntRange(min=0), default=100, show_default=True, help="Lower ones come first.")
@click.option("--enabled/--disabled", default=True, show_default=True, help="Whether it is applied when an inventory arrives.")
@click.option("--dry-run", is_flag=True, help="Only say which machines it would match.")
@json_option
def set_rule(name: str, when: str, position: int, enabled: bool, dry_run: bool, as_json: bool, **actions: Any) -> None:
    """Make the rule NAME, or make it be like that. It holds for inventories that arrive from now on."""
    wanted = {
        key: list(value) if isinstance(value, tuple) else value for key, value in actions.items() if value not in (None, ())
    }
    body = {"when": when, "actions": wanted, "position": position, "enabled": enabled}
    answer = connect().put("rules", name, body=body, dry_run="true" if dry_run else None)
    if as_json:
        emit_json(answer)
        return
    click.echo(f"{name}: {'checked, nothing was changed' if dry_run else 'set' if answer['changed'] else 'unchanged'}")
    _show_matches([{"machine": machine} for machine in answer["matches"]])
    if answer["matches"] and not dry_run:
        click.echo(f"To apply it to these now: metalwright rule apply --rule {name}", err=True)


@rule.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a rule. What it has set stays."""
    confirm(f"Delete rule {name}?", yes=yes)
    connect().delete("rules", name)
    click.echo(f"{name}: deleted")


@rule.command()
@click.argument("name")
@json_option
def matches(name: str, as_json: bool) -> None:
    """List the machines that a rule matches."""
    found = list(connect().items("rules", name, "matches"))
    if as_json:
        emit_json(found)
        return
    _show_matches(found)


@rule.command()
@click.argument("machines", nargs=-1)
@click.option("--rule", "rules", multiple=True, help="Apply this rule only; may be given several times.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@json_option
def apply(machines: tuple[str, ...], rules: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Apply rules again to the inventories that are here, of all machines or of those named."""
    body: dict[str, Any] = {"rules": list(rules)}
    if machines:
        body["machines"] = list(machines)
    answer = connect().post("rules", "apply", body=body, dry_run="true" if dry_run else None)
    if as_json:
        emit_json(answer)
        return
    for item in answer["items"]:
        for line in _outcome(item):
            click.echo(f"{item['machine']}: {line}")
    would = "would change" if dry_run else "changed"
    click.echo(f"{answer['changed']} of {len(answer['items'])} machines {would}.", err=True)


def _outcome(item: dict[str, Any]) -> list[str]:
    if item["error"]:
        return [click.style(item["error"]["message"], fg="red")]
    changes = [f"{what}: {_plain(change['before'])} -> {_plain(change['after'])}" for what, change in item["changes"].items()]
    refused = [click.style(f"rule {each['rule']}: {each['message']}", fg="yellow") for each in item["refused"]]
    return changes + refused


def _plain(value: Any) -> str:
    return ",".join(value) or "-" if isinstance(value, list) else str(value)


def _show_matches(found: list[dict[str, Any]]) -> None:
    table((("MACHINE", lambda m: m["machine"]),), found, "It matches no machine.")


def _actions(actions: dict[str, Any]) -> str:
    tags = [f"+{tag}" for tag in actions.get("add_tags", ())] + [f"-{tag}" for tag in actions.get("remove_tags", ())]
    others = [label.format(actions[key]) for key, label in _LABELS.items() if key in actions]
    return ", ".join(filter(None, [("tag " + " ".join(tags)) if tags else "", *others]))
