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
from metalwright.lifecycle import allocation
from metalwright.lifecycle.allocation import Word
from metalwright.lifecycle.deploy import Deployment, Extras, check_not_adopted, validate
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.lifecycle.playbooks import WithPlaybook
from metalwright.lifecycle.states import State
from metalwright.store.models import Machine, Operation

Step = dict[str, Any]
"""``{"kind": .., "parameters": {..}}``: an operation, as ``Engine.start`` takes it."""


_NOT_DEPLOYED = ("state", "allocation", "on_drift", "erase", "wipe_adopted")
"""Fields of a wish that do not say how a machine is deployed."""


class Wish(Extras):
    """The body of a converge: a state, and for ``deployed`` everything a deploy takes."""

    state: Literal["ready", "allocated", "deployed"] = Field(
        description="ready: commissioned, disks empty. allocated: that, and held by the allocation. deployed: as the rest says."
    )
    allocation: Word | None = Field(
        None, description="For allocated: the allocation that holds it; made for this machine alone if there is none of the name."
    )
    image: str | None = Field(None, max_length=127, description="Name or identifier of the image; required for deployed.")
    on_drift: Literal["fail", "redeploy"] = Field(
        "fail", description="When it is deployed otherwise. fail: 409 naming the differences; redeploy: wipe it and deploy anew."
    )
    erase: Literal["quick", "full", "secure"] | None = Field(
        None, description="Unless deployed: how disks are erased if it has to be released. Default: what its pool says."
    )
    wipe_adopted: bool = Field(False, description="Wipe it on the way although it was adopted with the system it runs.")

    @model_validator(mode="after")
    def _fits_together(self) -> Wish:
        if self.state == "deployed" and self.image is None:
            raise ValueError("image is required when state is deployed")
        if self.state == "deployed" and self.erase is not None:
            raise ValueError("erase has a meaning when state is ready or allocated")
        if (self.state == "allocated") != (self.allocation is not None):
            raise ValueError("allocation is required when state is allocated, and has no meaning else")
        if self.state != "deployed" and self.model_fields_set - {*_NOT_DEPLOYED, *WithPlaybook.model_fields}:
            raise ValueError(f"deploy options have no meaning when state is {self.state}")
        return self

    def release(self, machine: Machine) -> Step:
        """The release that this wish would have on its way; with its playbook where there is a system to run it on."""
        said: dict[str, Any] = {
            "erase": self.erase,
            "wipe_adopted": self.wipe_adopted,
            "keep_allocation": self.state == "allocated",
        }
        if self.state != "deployed" and _stands(machine) == State.DEPLOYED:
            said |= {name: getattr(self, name) for name in WithPlaybook.model_fields}
        return {"kind": "release", "parameters": {name: value for name, value in said.items() if value}}


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
    again waits for them. Raises ``Conflict``: ``drift`` (details name the differences), ``machine_broken``, ``adopted``,
    ``machine_busy`` and the others of ``Engine.start``; whatever ``allocation.hold`` and ``deploy.validate`` raise.
    """
    parameters = _parameters(session, machine, wish) if wish.state == "deployed" else None
    before = seen(machine)
    running = _running(session, machine, wish, parameters)
    if running is not None:
        kinds = [running.kind, *(step["kind"] for step in running.next)]
        return Outcome(True, kinds, running, before, _after(machine, kinds, parameters, wish))
    held = wish.allocation is not None and allocation.hold(session, machine, wish.allocation, by=by, now=engine.clock())
    steps = plan(machine, wish, parameters)
    if not steps:
        return Outcome(held, [], None, before, _after(machine, [], None, wish) if held else before)
    first, *rest = steps
    operation = engine.start(session, machine, first["kind"], first["parameters"], by=by, then=rest)
    kinds = [step["kind"] for step in steps]
    return Outcome(True, kinds, operation, before, _after(machine, kinds, parameters, wish))


def plan(machine: Machine, wish: Wish, parameters: dict[str, Any] | None) -> list[Step]:
    """The operations that lead to a deploy with ``parameters``, or with None to ``ready``. Empty: the machine is there.

    A machine that is allocated counts as ready: it is commissioned, empty, and reserved. One in rescue leaves that first. Raises
    ``Conflict``: ``drift``, ``machine_broken``, ``adopted``.
    """
    out = [_step("exit-rescue")] if machine.state == State.RESCUE else []
    return out + _onwards(machine, wish, parameters)


def _onwards(machine: Machine, wish: Wish, parameters: dict[str, Any] | None) -> list[Step]:
    """The plan from where the machine stands when it is not, or no longer, in rescue."""
    place = _stands(machine)
    if place == State.BROKEN:
        raise _broken(machine)
    if place == State.DEPLOYED:
        return _from_deployed(machine, wish, parameters)
    ahead = _way_to_ready(machine, place)
    if parameters is None:
        return [wish.release(machine)] if ahead is None else ahead
    return [*(ahead or []), _step("deploy", parameters)]  # whatever the disks hold is overwritten


def _way_to_ready(machine: Machine, place: State) -> list[Step] | None:
    """What makes a machine ready that is not deployed; None: its disks may hold anything."""
    if place in (State.READY, State.ALLOCATED):
        return [] if machine.hardware else [_step("commission")]
    if place == State.NEW or machine.hardware is None or machine.failed_from == State.COMMISSIONING:
        return [_step("commission")]
    if machine.failed_from == State.TESTING:
        failed_a_test = (machine.failure or {}).get("code") == "test_failed"
        return [_step("test" if failed_a_test else "commission")]
    return None


def _from_deployed(machine: Machine, wish: Wish, parameters: dict[str, Any] | None) -> list[Step]:
    if parameters is None:
        steps = [wish.release(machine)]
    else:
        different = differences(machine, parameters["record"])
        if not different:
            return []
        if wish.on_drift == "fail":
            raise _drift(machine, different)
        said = {**parameters, "redeploy": True, "wipe_adopted": wish.wipe_adopted}
        steps = [_step("deploy", said)]
        if machine.hardware is None:  # adopted before anybody had looked at its disks
            steps = [wish.release(machine), _step("commission"), _step("deploy", parameters)]
    if not wish.wipe_adopted:
        check_not_adopted(machine, OPERATIONS[steps[0]["kind"]].label)
    return steps


def _step(kind: str, parameters: dict[str, Any] | None = None) -> Step:
    return {"kind": kind, "parameters": parameters or {}}


def _stands(machine: Machine) -> State:
    """The state of the machine; in rescue, or on the way out of it, the one that it leads back to."""
    if machine.state in (State.RESCUE, State.RESCUING) and machine.former_state:
        return State(machine.former_state)
    return State(machine.state)


def _after(machine: Machine, kinds: list[str], parameters: dict[str, Any] | None, wish: Wish) -> dict[str, Any]:
    """How the machine will be, in the words of a wish."""
    if parameters is not None:
        return _described("deployed", parameters["record"])
    if wish.allocation is not None:
        return {"state": State.ALLOCATED, "allocation": wish.allocation}
    if machine.allocation is not None and "release" not in kinds:  # a release ends its allocation
        return {"state": State.ALLOCATED, "allocation": machine.allocation.name}
    return {"state": State.READY}


def _parameters(session: Session, machine: Machine, wish: Wish) -> dict[str, Any]:
    body = {name: getattr(wish, name) for name in wish.model_fields_set - {*_NOT_DEPLOYED}}
    if wish.hostname is None and machine.deployed:
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
    adopted = (machine.deployed or {}).get("adopted")
    how = "was adopted with a system that is not known to be the one wished" if adopted else "is deployed, but not as wished"
    api = "on_drift=redeploy and wipe_adopted=true" if adopted else "on_drift=redeploy"
    option = "--redeploy --wipe-adopted" if adopted else "--redeploy"
    return Conflict(
        "drift",
        f"{machine.name} {how}: {', '.join(different)} differ.",
        f"Wish what is there, or say that the machine may be wiped: {api}, as options {option}.",
        machine=machine.name,
        differences={name: {"before": before, "after": after} for name, (before, after) in different.items()},
    )


def _broken(machine: Machine) -> Conflict:
    note = f": {machine.note}" if machine.note else ""
    out = f"metalwright machine exit-rescue {machine.name}, then " if machine.state == State.RESCUE else ""
    return Conflict(
        "machine_broken",
        f"{machine.name} was marked broken{note}.",
        f"When it is mended: {out}metalwright machine mark-fixed {machine.name}",
        machine=machine.name,
        note=machine.note,
    )


def _running(session: Session, machine: Machine, wish: Wish, parameters: Mapping[str, Any] | None) -> Operation | None:
    """The operation under way, if it and those that follow it lead to exactly the same goal."""
    operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
    if operation is None:
        return None
    steps: list[Step] = [{"kind": operation.kind, "parameters": operation.parameters}, *operation.next]
    last = steps[-1]
    if last["kind"] == "exit-rescue":
        return operation if _is_there(machine, parameters) else None
    if wish.allocation is not None and (machine.allocation is None or machine.allocation.name != wish.allocation):
        return None
    if parameters is None:
        if last["kind"] == "release":
            keeps = bool(last["parameters"].get("keep_allocation")) or wish.allocation is None
            return operation if keeps and wish.erase in (None, last["parameters"].get("erase")) else None
        return operation if last["kind"] == "commission" else None
    if last["kind"] != "deploy":
        return None
    same = last["parameters"].get("record", {}).get("fingerprint") == parameters["record"]["fingerprint"]
    return operation if same else None


def _is_there(machine: Machine, parameters: Mapping[str, Any] | None) -> bool:
    """Whether a machine that only has to leave rescue is then as wished."""
    place = _stands(machine)
    if parameters is None:
        return place in (State.READY, State.ALLOCATED)
    return place == State.DEPLOYED and not differences(machine, parameters["record"])


def seen(machine: Machine) -> dict[str, Any]:
    """How a machine is, in the words of a wish; no secrets."""
    if machine.state == State.DEPLOYED and machine.deployed:
        return _described("deployed", machine.deployed)
    if machine.state == State.ALLOCATED and machine.allocation is not None:
        return {"state": machine.state, "allocation": machine.allocation.name}
    return {"state": machine.state}


def _described(state: str, record: Mapping[str, Any]) -> dict[str, Any]:
    names = ("image", "hostname", "address")
    return {"state": state, **{name: record.get(name) for name in names}, **record.get("options", {})}
