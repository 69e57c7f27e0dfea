# SPDX-License-Identifier: GPL-3.0-or-later
"""``/machines/<name>/network``: the interfaces, addresses and routes of a machine, declared as one document."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.machines import find
from metalwright.api.shapes import Error
from metalwright.errors import Invalid
from metalwright.lifecycle.starting import check_idle
from metalwright.lifecycle.tasks import enqueue
from metalwright.network import layout_rules, machine_addresses
from metalwright.network.changing import unchanged
from metalwright.network.interfaces import MachineNetwork
from metalwright.store.events import record
from metalwright.store.models import Machine

machine_network = Blueprint("machine_network", __name__)


class AddressView(TypedDict):
    """An address that a machine has; ``main``: its name leads there."""

    interface: str
    subnet: str | None
    address: str
    main: bool


class NetworkView(TypedDict):
    """The network of a machine. ``interfaces`` are as they were declared, without defaults; none: the boot interface, auto.

    ``pending``: it was declared otherwise when what runs was deployed, and takes effect with the next deployment. ``problem``:
    why it does not hold any more, if it does not: a card or a subnet has gone; a deployment would refuse with that.
    """

    machine: str
    interfaces: list[dict[str, Any]]
    addresses: list[AddressView]
    pending: bool
    problem: Error | None


class NetworkChanged(NetworkView):
    """The network of a machine after a change; ``changed`` is false when it was declared like that already."""

    changed: bool


@endpoint(machine_network, "GET", "/machines/<name>/network", answers={200: NetworkView}, errors=(404,))
def get_network(name: str) -> Reply:
    """Show the network of a machine as it is declared, and its addresses."""
    with context().store.session() as session:
        return show(session, find(session, name))


@endpoint(
    machine_network,
    "PUT",
    "/machines/<name>/network",
    body=MachineNetwork,
    query=Change,
    answers={200: NetworkChanged},
    errors=(404, 409),
)
def put_network(name: str, *, body: MachineNetwork, query: Change) -> Reply:
    """Declare the whole network of a machine; what is left out is no longer there.

    A machine that is deployed keeps what it runs with: the declaration takes effect with its next deployment.
    """
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        machine = find(session, name, lock=True)
        check_idle(session, machine)
        unchanged(session)
        changed = _declare(session, machine, body, ours=urlsplit(here.settings.node.url).hostname)
        if changed:
            machine.updated_at = here.clock()
            names = ", ".join(interface.name for interface in body.interfaces) or "the boot interface alone"
            later = "; it takes effect with the next deployment" if machine.deployed else ""
            message = f"{machine.name}: its network was declared by {caller()}: {names}{later}"
            data = {"interfaces": [interface.name for interface in body.interfaces], "pending": bool(machine.deployed)}
            record(session, "machine.network", message, machine=machine, data=data, at=here.clock())
            enqueue(session, "network.apply", {}, now=here.clock())
        session.flush()
        return {**show(session, machine), "changed": changed}


def _declare(session: Session, machine: Machine, body: MachineNetwork, *, ours: str | None) -> bool:
    stored = body.stored()
    given = machine_addresses.Given()
    if body.interfaces:
        layout = layout_rules.check(session, machine, body)
        given = machine_addresses.give(session, machine, layout, ours, boot=machine.deployed is None)
    if machine.deployed is None:
        machine_addresses.settle(session, machine, given)
    changed = stored != machine.network
    machine.network = stored
    return changed


def show(session: Session, machine: Machine) -> dict[str, Any]:
    """The network of a machine for the API."""
    problem, layout = None, None
    try:
        layout = machine_addresses.layout_of(session, machine)
    except Invalid as refusal:
        problem = {"code": refusal.code, "message": refusal.message, "details": refusal.details, "hint": refusal.hint}
    if layout is not None:
        placed = [
            (place.interface.name, place.subnet.name if place.subnet else None, address)
            for place, address in machine_addresses.addresses_of(machine, layout)
        ]
    else:
        cards = [(i.name or i.mac, i.subnet.name if i.subnet else None, i.address) for i in machine.interfaces if i.address]
        placed = [*cards, *((row.interface, row.subnet.name, row.address) for row in machine.addresses)]
    named = machine.named or [address for _, _, address in placed[:1]]
    deployed = machine.deployed or {}
    return {
        "machine": machine.name,
        "interfaces": machine.network,
        "addresses": [
            {"interface": interface, "subnet": subnet, "address": address, "main": address in named}
            for interface, subnet, address in placed
        ],
        "pending": bool(deployed) and not deployed.get("adopted") and deployed.get("network", []) != machine.network,
        "problem": problem,
    }
