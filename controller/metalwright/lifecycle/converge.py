# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge: from where a machine stands to where it is wished, by which operations.

``carry_out`` plans and starts in one transaction; a dry run is the same transaction rolled back, so a plan that was shown is the
plan that would have been carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator
from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.lifecycle.deploy import Deployment, Extras, validate
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.states import State
from metalwright.store.models import Machine, Operation

Step = dict[str, Any]
"""``{"kind": .., "parameters": {..}}``: an operation, as ``Engine.start`` takes it."""


class Wish(Extras):
    """The body of a converge: a state, and for ``deployed`` everything a deploy takes."""

    state: Literal["ready", "deployed"] = Field(description="ready: commissioned, disks empty. deployed: as the rest says.")
    image: str | None = Field(None, max_length=127, description="Name or identifier of the image; required for deployed.")
    on_drift: Literal["fail", "redeploy"] = Field(
        "fail", description="When it is deployed otherwise. fail: 409 naming the differences; redeploy: wipe it and deploy anew."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Wish:
        if self.state == "deployed" and self.image is None:
            raise ValueError("image is required when state is deployed")
        if self.state == "ready" and self.model_fields_set - {"state", "on_drift"}:
            raise ValueError("deploy options have no meaning when state is ready")
        return self


@dataclass(frozen=True)
class Outcome:
    """``plan`` lists kinds of operations; ``operation`` is the first of them, None when there is nothing to do."""

    changed: bool
    plan: list[str]
    operation: Operation | None
    before: dict[str, Any]
    after: dict[str, Any]


def carry_out(session: Session, engine: Engine, machine: Machine, wish: Wish, *, by: str) -> Outcome:
    """Start what leads from where the machine stands to what is wished.

    While operations towards exactly the same goal run, they are answered as if they had just been started: a playbook that is run
    again waits for them. Raises ``Conflict``: ``drift`` (details name the differences), ``machine_busy`` and the others of
    ``Engine.start``; whatever ``deploy.validate`` raises.
    """
    parameters = _parameters(session, machine, wish) if wish.state == "deployed" else None
    before = seen(machine)
    after = _described("deployed", parameters["record"]) if parameters else {"state": _rest(machine)}
    running = _running(session, machine, parameters)
    if running is not None:
        return Outcome(True, [running.kind, *(step["kind"] for step in running.next)], running, before, after)
    steps = plan(machine, parameters, redeploy=wish.on_drift == "redeploy")
    if not steps:
        return Outcome(False, [], None, before, before)
    first, *rest = steps
    operation = engine.start(session, machine, first["kind"], first["parameters"], by=by, then=rest)
    return Outcome(True, [step["kind"] for step in steps], operation, before, after)


def plan(machine: Machine, parameters: dict[str, Any] | None, *, redeploy: bool = False) -> list[Step]:
    """The operations that lead to a deploy with ``parameters``, or with None to ``ready``. Empty: the machine is there.

    A machine that is allocated counts as ready: it is commissioned, empty, and reserved. Raises ``Conflict`` (``drift``).
    """
    place = _place(machine)
    commission: Step = {"kind": "commission", "parameters": {}}
    if parameters is None:
        if place == State.NEW:
            return [commission]
        return [] if place in (State.READY, State.ALLOCATED) else [{"kind": "release", "parameters": {}}]
    deploy: Step = {"kind": "deploy", "parameters": parameters}
    if place == State.DEPLOYED:
        different = differences(machine, parameters["record"])
        if not different:
            return []
        if not redeploy:
            raise _drift(machine, different)
        return [{"kind": "deploy", "parameters": {**parameters, "redeploy": True}}]
    return [deploy] if machine.hardware is not None else [commission, deploy]


def _place(machine: Machine) -> State:
    """Where the machine stands, as far as the way on is concerned; a failed one where its failure left it."""
    if machine.state != State.FAILED:
        return State(machine.state)
    if machine.hardware is None or machine.failed_from == State.COMMISSIONING:
        return State.NEW
    return State.DEPLOYING  # the disk may hold anything: release it, or deploy over it


def _rest(machine: Machine) -> str:
    return State.ALLOCATED if machine.allocation_id and machine.state != State.DEPLOYED else State.READY


def _parameters(session: Session, machine: Machine, wish: Wish) -> dict[str, Any]:
    body = {name: getattr(wish, name) for name in wish.model_fields_set - {"state", "on_drift"}}
    if wish.hostname is None and machine.state == State.DEPLOYED and machine.deployed:
        body["hostname"] = machine.deployed["hostname"]  # no name wished: the one it has is right
    return validate(session, machine, Deployment.model_construct(**body))


def differences(machine: Machine, record: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is deployed and what is wished instead, by the name of the option. Images are compared by their content."""
    deployed = machine.deployed or {}
    if deployed.get("fingerprint") == record["fingerprint"]:
        return {}
    found: dict[str, tuple[Any, Any]] = {}
    if deployed.get("content_sha256") != record["content_sha256"]:
        found["image"] = (_image(deployed), _image(record))
    if deployed.get("hostname") != record["hostname"]:
        found["hostname"] = (deployed.get("hostname"), record["hostname"])
    if not _same_address(machine, str(deployed.get("address")), record["address"]):
        found["address"] = (deployed.get("address"), record["address"])
    before, after = deployed.get("options", {}), record["options"]
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            found[name] = (before.get(name), after.get(name))
    return found


def _image(record: Mapping[str, Any]) -> str:
    return f"{record.get('image')} (sha256 {str(record.get('content_sha256'))[:12]})"


def _same_address(machine: Machine, deployed: str, wished: str) -> bool:
    if wished == "auto":
        return deployed != "dhcp"  # any fixed address is one it could have been given
    interface = machine.boot_interface
    return wished == deployed or (deployed != "dhcp" and interface is not None and interface.address == wished)


def _drift(machine: Machine, different: Mapping[str, tuple[Any, Any]]) -> Conflict:
    return Conflict(
        "drift",
        f"{machine.name} is deployed, but not as wished: {', '.join(different)} differ.",
        "Wish what is there, or converge with on_drift=redeploy, which wipes the machine.",
        machine=machine.name,
        differences={name: {"before": before, "after": after} for name, (before, after) in different.items()},
    )


def _running(session: Session, machine: Machine, parameters: Mapping[str, Any] | None) -> Operation | None:
    """The operation under way, if it and those that follow it lead to exactly the same goal."""
    operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
    if operation is None:
        return None
    steps: list[Step] = [{"kind": operation.kind, "parameters": operation.parameters}, *operation.next]
    last = steps[-1]
    if parameters is None:
        return operation if last["kind"] in ("commission", "release") else None
    if last["kind"] != "deploy":
        return None
    same = last["parameters"].get("record", {}).get("fingerprint") == parameters["record"]["fingerprint"]
    return operation if same else None


def seen(machine: Machine) -> dict[str, Any]:
    """How a machine is, in the words of a wish; no secrets."""
    if machine.state == State.DEPLOYED and machine.deployed:
        return _described("deployed", machine.deployed)
    return {"state": machine.state}


def _described(state: str, record: Mapping[str, Any]) -> dict[str, Any]:
    names = ("image", "hostname", "address")
    return {"state": state, **{name: record.get(name) for name in names}, **record.get("options", {})}
