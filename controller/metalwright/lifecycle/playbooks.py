# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request may say of the playbook that an operation runs, and whether it can be run on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from metalwright.config import Settings
from metalwright.errors import Conflict, Invalid
from metalwright.lifecycle.states import State
from metalwright.runs import playbooks
from metalwright.store.models import Machine


class WithPlaybook(BaseModel):
    """The fields of a body that may name a playbook."""

    playbook: playbooks.Name | None = Field(
        None,
        description="Name of a playbook of the controller, which it runs on the machine: once it is deployed, or before it is "
        "released.",
    )
    playbook_vars: playbooks.Variables = Field(
        {}, description="Extra variables of the playbook. Encrypted, and never shown again."
    )
    playbook_timeout: playbooks.Limit | None = Field(
        None, description="Seconds that the playbook may take. Default: `[deadlines] playbook`."
    )

    @model_validator(mode="after")
    def _has_its_playbook(self) -> Self:
        if self.playbook is None and (self.playbook_vars or self.playbook_timeout is not None):
            raise ValueError("playbook_vars and playbook_timeout have a meaning when a playbook is named")
        return self


def prepared(settings: Settings, machine: Machine, kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an operation that starts now; a deploy with a playbook lets the controller's key in.

    Raises what ``runs.playbooks.find`` and ``public_key`` raise; ``Invalid`` or ``Conflict``: ``playbook_needs_system``,
    ``playbook_needs_address``, ``playbook_needs_host_key``.
    """
    given = dict(parameters)
    if not given.get("playbook"):
        return given
    key = check(settings, given)
    if kind == "release":
        _check_reached(machine)
    elif given.get("address") == "dhcp":
        message = f"{machine.name} gets its address from DHCP alone, so the controller does not know where to run the playbook."
        raise Invalid("playbook_needs_address", message, "Deploy it with address=auto, or run the playbook yourself.")
    elif key not in given.get("ssh_keys", []):
        given["ssh_keys"] = [*given.get("ssh_keys", []), key]
    return given


def check(settings: Settings, parameters: Mapping[str, Any]) -> str:
    """Raise ``Invalid`` if a playbook is named that there is not; returns the public key of the controller, if one is named."""
    if not parameters.get("playbook"):
        return ""
    playbooks.find(settings.runs, parameters["playbook"])
    return playbooks.public_key(settings.runs)


def _check_reached(machine: Machine) -> None:
    hint = "Run the playbook yourself, then release it without."
    if machine.state != State.DEPLOYED:
        message = f"{machine.name} is {machine.state}: there is no system to run the playbook on."
        raise Conflict("playbook_needs_system", message, "Release it without a playbook.", machine=machine.name)
    if machine.boot_interface is None or machine.boot_interface.address is None:
        message = f"The address of {machine.name} is not known, so the playbook can not be run on it."
        raise Conflict("playbook_needs_address", message, hint, machine=machine.name)
    if not machine.host_keys:
        message = f"The SSH host keys of {machine.name} are not known, so it could not be told from another machine."
        raise Conflict("playbook_needs_host_key", message, hint, machine=machine.name)
