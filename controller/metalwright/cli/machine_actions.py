# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are told to do: ``machine commission``, ``deploy``, ``release``, ``rescue``, ``power ...``.

Every command takes names or a filter, answers for each machine, and can be rehearsed. Those that need no more than that are in
the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from metalwright.cli.acting import report, tell
from metalwright.cli.client import Client, connect
from metalwright.cli.deploy_options import deploy_options, deployment, playbook, playbook_options, public_keys
from metalwright.cli.machine_details import how_to_log_in
from metalwright.cli.options import dry_run_option, json_option, key_values, wait_option
from metalwright.cli.selection import Selection, for_machines
from metalwright.errors import Invalid, MetalwrightError

OPERATIONS = {"exit-rescue": "Leave rescue: deployed machines boot their disk, others are turned off."}
"""Commands that start an operation and take no options of their own, with a line of help."""

AT_ONCE = {
    "mark-fixed": ("Put broken machines back to where they were.", "marked fixed"),
    "override-failed-test": ("Use machines although a required test failed.", "used although a test failed"),
    "lock": ("Refuse every operation on machines from now on.", "locked"),
    "unlock": ("Let machines be operated on again.", "unlocked"),
}
"""Commands that are done at once and take no options of their own: a line of help, and what a machine is then."""

POWER = {
    "on": "Turn machines on.",
    "off": "Turn machines off, at once.",
    "cycle": "Turn machines off and on again.",
    "query": "Ask whether machines are on.",
}

_scripts_option = click.option("--script", "scripts", multiple=True, help="Run this script; without, all automatic ones.")
_parameters_option = click.option(
    "--parameter", "parameters", multiple=True, metavar="SCRIPT.KEY=VALUE", help="A parameter of a script."
)
_erase_option = click.option(
    "--erase", type=click.Choice(["quick", "full", "secure"]), help="How a release erases the disks; without, as the pool says."
)
_wipe_adopted_option = click.option("--wipe-adopted", is_flag=True, help="Even if it was adopted with the system it runs.")


def add_to(machine: click.Group) -> None:
    """Put the actions under ``metalwright machine``."""
    for command in (commission, test, deploy, release, converge, rescue, adopt, mark_broken, abort, power):
        machine.add_command(command)
    for name, text in OPERATIONS.items():
        machine.add_command(_operation(name, name, text))
    for name, (text, done) in AT_ONCE.items():
        machine.add_command(_at_once(name, text, done))


@click.command()
@for_machines
@_scripts_option
@click.option("--test", "tests", multiple=True, help="Run this test afterwards; without, all automatic ones.")
@click.option("--no-tests", is_flag=True, help="Run no tests.")
@_parameters_option
@wait_option
@dry_run_option
@json_option
def commission(chosen: Selection, tests: tuple[str, ...], no_tests: bool, **given: Any) -> None:
    """Boot machines into the agent, take their inventory, run scripts and tests."""
    if tests and no_tests:
        raise click.UsageError("--test and --no-tests exclude each other.")
    body = _scripts(given)
    if tests or no_tests:
        body["tests"] = list(tests)
    tell(chosen, "commission", body, **given)


@click.command()
@for_machines
@_scripts_option
@_parameters_option
@wait_option
@dry_run_option
@json_option
def test(chosen: Selection, **given: Any) -> None:
    """Boot machines into the agent and run test scripts."""
    tell(chosen, "test", _scripts(given), **given)


@click.command()
@for_machines
@click.option("--image", required=True, help="Image to install, for example debian/12.")
@deploy_options
@wait_option
@dry_run_option
@json_option
def deploy(chosen: Selection, wait: bool, dry_run: str | None, as_json: bool, **given: Any) -> None:
    """Install an image on machines and boot them from it."""
    _check_hostname(chosen, given)
    tell(chosen, "deploy", deployment(given), wait=wait, dry_run=dry_run, as_json=as_json)


@click.command()
@for_machines
@_erase_option
@_scripts_option
@_parameters_option
@_wipe_adopted_option
@playbook_options
@wait_option
@dry_run_option
@json_option
def release(chosen: Selection, erase: str | None, wipe_adopted: bool, **given: Any) -> None:
    """Erase machines and turn them off: they are ready for the next."""
    body = {**_scripts(given), **playbook(given), "wipe_adopted": wipe_adopted}
    if erase:
        body["erase"] = erase
    tell(chosen, "release", body, **given)


@click.command()
@for_machines
@click.option("--to", type=click.Choice(["ready", "allocated", "deployed"]), required=True, help="The state that is wished.")
@click.option("--into", help="Allocation that is to hold it; made if there is none of that name. Needed for allocated.")
@click.option("--image", help="Image to install. Needed for deployed.")
@click.option("--redeploy", is_flag=True, help="Wipe and deploy anew what is deployed otherwise; without, say what differs.")
@_erase_option
@_wipe_adopted_option
@deploy_options
@wait_option
@dry_run_option
@json_option
def converge(
    chosen: Selection,
    redeploy: bool,
    into: str | None,
    erase: str | None,
    wipe_adopted: bool,
    wait: bool,
    dry_run: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Lead machines from wherever they stand to a state; nothing is done to those that are there."""
    _check_hostname(chosen, given)
    wish = {"state": given.pop("to"), "on_drift": "redeploy" if redeploy else "fail", **deployment(given)}
    more = {"allocation": into, "erase": erase, "wipe_adopted": wipe_adopted}
    wish |= {key: value for key, value in more.items() if value}
    client = connect()
    items = [_converge_one(client, name, wish, dry_run) for name in chosen.found(client)]
    report(client, chosen, items, wait=wait, dry_run=dry_run, as_json=as_json)


def _converge_one(client: Client, name: str, wish: Mapping[str, Any], dry_run: str | None) -> dict[str, Any]:
    try:
        answer = client.post("machines", name, "converge", body=wish, dry_run=dry_run)
    except MetalwrightError as error:
        return {"machine": name, "status": error.status, "operation": None, "error": error.as_dict()}
    plan = [step["operation"] for step in answer["plan"]]
    return {"machine": name, "status": 200, "operation": answer["operation"], "error": None, "plan": plan, "diff": answer["diff"]}


@click.command()
@for_machines
@click.option(
    "--ssh-key",
    "ssh_keys",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with public SSH keys that may log in as root, one a line.",
)
@wait_option
@dry_run_option
@json_option
def rescue(chosen: Selection, ssh_keys: tuple[Path, ...], wait: bool, dry_run: str | None, as_json: bool) -> None:
    """Boot machines into the agent, which lets you in by SSH and leaves the disks alone."""
    entered = tell(chosen, "rescue", {"ssh_keys": public_keys(ssh_keys)}, wait=wait, dry_run=dry_run, as_json=as_json)
    if wait and not dry_run and not as_json:
        client = connect()
        for name in entered:
            click.echo(f"{name}: {how_to_log_in(client.get('machines', name))}")


@click.command()
@for_machines
@click.option("--hostname", help="Host name that it has; without it, the machine's.  (one machine only)")
@click.option("--address", default="auto", show_default=True, help="auto: one is kept for it; dhcp; or the one that it has.")
@click.option("--image", default="", help="What runs on it, in your words.")
@click.option(
    "--host-keys",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with its public SSH host keys, one a line.",
)
@dry_run_option
@json_option
def adopt(chosen: Selection, host_keys: tuple[Path, ...], dry_run: str | None, as_json: bool, **given: Any) -> None:
    """Take machines that run a system already as deployed; they are never wiped."""
    _check_hostname(chosen, given)
    body = {**{key: value for key, value in given.items() if value is not None}, "host_keys": public_keys(host_keys)}
    tell(chosen, "adopt", body, done="adopted", dry_run=dry_run, as_json=as_json)


@click.command("mark-broken")
@for_machines
@click.option("--note", default="", help="Why, for the next person.")
@dry_run_option
@json_option
def mark_broken(chosen: Selection, note: str, dry_run: str | None, as_json: bool) -> None:
    """Take machines out of use."""
    tell(chosen, "mark-broken", {"note": note}, done="marked broken", dry_run=dry_run, as_json=as_json)


@click.command()
@for_machines
@dry_run_option
@json_option
def abort(chosen: Selection, dry_run: str | None, as_json: bool) -> None:
    """End what machines are doing."""
    tell(chosen, "abort", {}, wait=False, dry_run=dry_run, as_json=as_json)


@click.group()
def power() -> None:
    """Turn machines on and off, or ask how they are."""


def _operation(name: str, action: str, text: str, then: Callable[[dict[str, Any]], str] | None = None) -> click.Command:
    @for_machines
    @wait_option
    @dry_run_option
    @json_option
    def run(chosen: Selection, wait: bool, dry_run: str | None, as_json: bool) -> None:
        told = tell(chosen, action, {}, wait=wait, dry_run=dry_run, as_json=as_json)
        if then is not None and wait and not dry_run and not as_json:
            client = connect()
            for each in told:
                click.echo(f"{each}: {then(client.get('machines', each))}")

    return click.command(name, help=text)(run)


def _at_once(name: str, text: str, done: str) -> click.Command:
    @for_machines
    @dry_run_option
    @json_option
    def run(chosen: Selection, dry_run: str | None, as_json: bool) -> None:
        tell(chosen, name, {}, done=done, dry_run=dry_run, as_json=as_json)

    return click.command(name, help=text)(run)


for _verb, _text in POWER.items():
    power.add_command(_operation(_verb, f"power-{_verb}", _text, lambda machine: str(machine["power"]["state"])))


def _check_hostname(chosen: Selection, given: Mapping[str, Any]) -> None:
    if given["hostname"] and not chosen.one:
        raise click.UsageError("--hostname is for one machine; several would get the same name.")


def _scripts(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options about scripts out of ``given``; returns them as the API takes them."""
    scripts, pairs = given.pop("scripts"), key_values(given.pop("parameters"), "--parameter")
    body: dict[str, Any] = {"scripts": list(scripts)} if scripts else {}
    for key, value in pairs.items():
        script, dot, name = key.rpartition(".")
        if not dot:
            raise Invalid("option_invalid", f"--parameter {key}={value} does not name its script.", "Write SCRIPT.KEY=VALUE.")
        body.setdefault("parameters", {}).setdefault(script, {})[name] = yaml.safe_load(value)
    return body
