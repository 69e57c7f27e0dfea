# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines can be told, as a table: the body each takes and what it does. One machine and many share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from metalwright.api.context import Context
from metalwright.api.endpoint import Schema
from metalwright.errors import Conflict
from metalwright.lifecycle import actions, deploy, script_choice
from metalwright.lifecycle.allocation import Word
from metalwright.lifecycle.deploy import Address, Hostname, SshKey
from metalwright.lifecycle.playbooks import WithPlaybook
from metalwright.store.models import Machine, Operation

ScriptParameters = dict[Word, dict[str, str | int | float | bool]]
Names = Annotated[list[Word], Field(max_length=64)]


class NoBody(Schema):
    """An empty object, or no body at all."""


class Commission(Schema):
    """The body of a commission."""

    scripts: Names | None = Field(None, description="Commissioning scripts to run, in order. Default: the automatic ones.")
    tests: Names | None = Field(None, description="Test scripts to run afterwards. Default: the automatic ones; []: none.")
    parameters: ScriptParameters = Field({}, description="Parameters by the name of the script.")


class Test(Schema):
    """The body of a test."""

    scripts: Names | None = Field(None, description="Test scripts to run. Default: the automatic ones.")
    parameters: ScriptParameters = Field({}, description="Parameters by the name of the script.")


class Release(WithPlaybook, Schema):
    """The body of a release."""

    erase: Literal["quick", "full", "secure"] | None = Field(
        None,
        description="quick: signatures and both ends of all disks; full: every block; secure: the drive's own erase where it has "
        "one, else full. Default: what the machine's pool says.",
    )
    scripts: Names | None = Field(None, description="Release scripts to run before. Default: the automatic ones.")
    parameters: ScriptParameters = Field({}, description="Parameters by the name of the script.")
    wipe_adopted: bool = Field(False, description="Wipe it although it was adopted with the system it runs.")


class Rescue(Schema):
    """The body of a rescue."""

    ssh_keys: Annotated[list[SshKey], Field(min_length=1, max_length=256)] = Field(
        description="Public keys that may log in as root."
    )


class Adopt(Schema):
    """The body of an adoption."""

    hostname: Hostname | None = Field(None, description="Host name it has. Default: the machine's name.")
    address: Address = Field("auto", description="auto: an address of the static range is kept for it; dhcp; or the one it has.")
    image: str = Field("", max_length=127, description="What runs on it, in your words.")
    host_keys: Annotated[list[Annotated[str, Field(max_length=8192)]], Field(max_length=32)] = Field(
        [], description="Its public SSH host keys, so that inventories can verify it."
    )


class Delete(Schema):
    """What many machines are deleted with."""

    force: bool = Field(False, description="Delete them even if they are deployed.")


class Note(Schema):
    """A reason."""

    note: str = Field("", max_length=1024, description="Why, for the next person.")


Do = Callable[[Session, Context, Machine, Any, str], Operation | None]
"""Does it to one machine, in the caller's transaction; the last is who asked. Answers the operation that was started, if any."""


@dataclass(frozen=True)
class Act:
    """One thing that machines can be told."""

    name: str
    text: str
    body: type[BaseModel]
    do: Do
    starts: bool = True
    """Whether it answers with an operation; else it is done at once."""
    many_only: bool = False
    """Whether one machine is told in another way."""


def _deploy(session: Session, here: Context, machine: Machine, body: deploy.Deployment, by: str) -> Operation:
    parameters = deploy.validate(session, machine, body)
    return here.engine.start(session, machine, "deploy", parameters, by=by)


def _adopt(session: Session, here: Context, machine: Machine, body: Adopt, by: str) -> None:
    actions.adopt(session, here.engine, machine, by=by, **body.model_dump())


def _mark_broken(session: Session, here: Context, machine: Machine, body: Note, by: str) -> None:
    actions.mark_broken(session, machine, by=by, note=body.note, now=here.clock())


def _mark_fixed(session: Session, here: Context, machine: Machine, _body: NoBody, by: str) -> None:
    actions.mark_fixed(session, machine, by=by, now=here.clock())


def _override(session: Session, here: Context, machine: Machine, _body: NoBody, by: str) -> None:
    actions.override_failed_test(session, machine, by=by, now=here.clock())


def _lock(session: Session, here: Context, machine: Machine, _body: NoBody, by: str) -> None:
    actions.set_locked(session, machine, True, by=by, now=here.clock())


def _unlock(session: Session, here: Context, machine: Machine, _body: NoBody, by: str) -> None:
    actions.set_locked(session, machine, False, by=by, now=here.clock())


def _abort(session: Session, here: Context, machine: Machine, _body: NoBody, by: str) -> Operation:
    operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
    if operation is None:
        raise Conflict("nothing_to_abort", f"{machine.name} is doing nothing that could be aborted.", machine=machine.name)
    here.engine.abort(session, operation, by=by)
    return operation


def _delete(session: Session, here: Context, machine: Machine, body: Delete, by: str) -> None:
    actions.delete(session, machine, by=by, force=body.force, now=here.clock())


def _operation(kind: str, body: type[BaseModel], text: str) -> Act:
    def do(session: Session, here: Context, machine: Machine, said: BaseModel, by: str) -> Operation:
        parameters = said.model_dump()
        if kind in script_choice.KINDS:
            script_choice.choose(session, machine, kind, parameters)
        return here.engine.start(session, machine, kind, parameters, by=by)

    return Act(kind, text, body, do)


ACTS: dict[str, Act] = {
    act.name: act
    for act in (
        _operation("commission", Commission, "Boot the agent, take the inventory, run scripts and tests: it is ``ready`` then."),
        _operation("test", Test, "Boot the agent and run test scripts; the machine goes back to where it was."),
        Act(
            "deploy",
            "Install an image and boot it. Everything that can be wrong with the request is said before the power is touched.",
            deploy.Deployment,
            _deploy,
        ),
        _operation("release", Release, "Erase all disks and turn the machine off: it is ``ready``, and leaves its allocation."),
        _operation("rescue", Rescue, "Boot the agent, which lets you in by SSH and leaves the disks alone."),
        _operation("exit-rescue", NoBody, "Leave rescue: a deployed machine boots its disk, another is turned off."),
        _operation("power-on", NoBody, "Turn the machine on."),
        _operation("power-off", NoBody, "Turn the machine off, at once."),
        _operation("power-cycle", NoBody, "Start the machine again: reset if it is on, turn on if it is off."),
        _operation("power-query", NoBody, "Ask the machine's power driver whether it is on."),
        Act("abort", "End what the machine is doing.", NoBody, _abort),
        Act(
            "adopt", "Take a machine that runs a system already as ``deployed``; it is never wiped.", Adopt, _adopt, starts=False
        ),
        Act("mark-broken", "Take a machine out of use.", Note, _mark_broken, starts=False),
        Act("mark-fixed", "Put a broken machine back to where it was.", NoBody, _mark_fixed, starts=False),
        Act("override-failed-test", "Use a machine although a test failed.", NoBody, _override, starts=False),
        Act("lock", "Refuse every operation on the machine from now on.", NoBody, _lock, starts=False),
        Act("unlock", "Let the machine be operated on again.", NoBody, _unlock, starts=False),
        Act("delete", "Forget the machine. Nothing is done to the hardware.", Delete, _delete, starts=False, many_only=True),
    )
}
