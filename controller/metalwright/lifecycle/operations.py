# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations as data: each a list of phases, declared once.

A phase begins with an effect (``do``, a task for the outbox) and ends with a signal (``until``). Its deadline is counted from
the last sign of life, with the number of seconds that the setting ``deadlines.<within>`` gives. What a passed deadline means is
found out by ``diagnosis``; ``code`` is what it is called when nothing more is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from metalwright.lifecycle.states import State


class Signal(StrEnum):
    """What moves an operation on."""

    POWER_DONE = "power-done"
    POWER_FAILED = "power-failed"
    BOOT_SCRIPT = "boot-script"
    HELLO = "hello"
    STRANGER = "stranger"
    """Another machine's agent answered, and was refused."""
    PROGRESS = "progress"
    STEP = "step"
    JOB_DONE = "job-done"
    JOB_FAILED = "job-failed"
    FIRST_BOOT = "first-boot"
    DEPLOYED = "deployed"
    FIRST_BOOT_FAILED = "first-boot-failed"
    PLAYBOOK_DONE = "playbook-done"
    PLAYBOOK_FAILED = "playbook-failed"


FAILURES = frozenset({Signal.POWER_FAILED, Signal.JOB_FAILED, Signal.FIRST_BOOT_FAILED, Signal.PLAYBOOK_FAILED})


@dataclass(frozen=True)
class Phase:
    """A step of an operation that the user can see."""

    name: str
    until: Signal
    within: str
    """Name of the setting in ``[deadlines]``."""
    code: str
    """Of the failure when the deadline passes and nothing more is known; explained in ``failures.CAUSES``."""
    do: str | None = None
    """Kind of the task with which the phase begins."""
    again: str | None = None
    """The phase to go back to when the deadline passes, up to ``deadlines.netboot_attempts`` times; None: the operation fails."""
    harmless: bool = False
    """Nothing on the machine has been changed: failing or aborting here leaves the machine in its former state."""
    netboot: bool = False
    """The machine is awaited on the network: its boot script is given out."""
    inquiry: str | None = None
    """The phase to go to when the deadline passes without any sign, to find out from the machine's disk what has happened."""
    agent: bool = False
    """The agent works in this phase; a machine that asks for its boot script again has restarted and begins anew."""
    only_with: str | None = None
    """Name of a parameter of the operation; without it the phase is left out."""
    limit: str | None = None
    """Name of a parameter that replaces the setting ``within``. The deadline is then counted from the phase's beginning, and no
    sign of life moves it."""
    grace: int = 0
    """Seconds by which the deadline is later than that: who carries the effect out ends it in time, and says what it had done."""

    def wanted(self, parameters: Mapping[str, Any]) -> bool:
        """Whether an operation with these parameters goes through this phase."""
        return self.only_with is None or bool(parameters.get(self.only_with))


@dataclass(frozen=True)
class OperationKind:
    """An operation: where it may start, what it goes through, where it ends."""

    name: str
    label: str
    phases: tuple[Phase, ...]
    allowed: frozenset[State]
    starts: State | None = None
    ends: frozenset[State] = frozenset()
    """Where success leads: the one, or one of those (``ending`` says which); none: the state stays."""
    inquiry: tuple[Phase, ...] = ()
    """Phases beside the way: a machine that was never heard of again boots the agent, which reads the logs on its disk."""
    limited: bool = False
    """Counts against ``limits.installs``; the rest wait in line."""

    @property
    def netboots(self) -> bool:
        """Whether a machine boots into the agent on its way. It counts against ``limits.boots``; the rest wait in line."""
        return any(phase.netboot for phase in self.phases)

    def phase(self, name: str) -> Phase:
        """The phase of that name."""
        return next(phase for phase in (*self.phases, *self.inquiry) if phase.name == name)

    def first(self, parameters: Mapping[str, Any]) -> Phase:
        """The phase with which an operation with these parameters begins."""
        return next(phase for phase in self.phases if phase.wanted(parameters))

    def after(self, name: str, parameters: Mapping[str, Any]) -> Phase | None:
        """The phase that follows the one named, in an operation with these parameters; None after the last."""
        way = self.inquiry if self.is_inquiry(name) else self.phases
        names = [phase.name for phase in way]
        return next((phase for phase in way[names.index(name) + 1 :] if phase.wanted(parameters)), None)

    def boots_again_in(self, name: str) -> Phase:
        """The phase to which a machine goes back that asks for its boot script while the agent is at work."""
        way = self.inquiry if self.is_inquiry(name) else self.phases
        return next(phase for phase in way if phase.until == Signal.HELLO)

    def is_inquiry(self, name: str) -> bool:
        """Whether the phase named is beside the way."""
        return any(phase.name == name for phase in self.inquiry)


def _netboot(prefix: str = "", *, harmless: bool = True) -> tuple[Phase, Phase]:
    first = f"{prefix}netboot"
    return (
        Phase(
            first,
            do="power.netboot",
            until=Signal.BOOT_SCRIPT,
            within="netboot",
            code="no_netboot",
            again=first,
            netboot=True,
            harmless=harmless,
        ),
        Phase(
            f"{prefix}boot",
            until=Signal.HELLO,
            within="boot",
            code="agent_no_hello",
            again=first,
            netboot=True,
            harmless=harmless,
        ),
    )


def _job(name: str, *, harmless: bool = False) -> Phase:
    return Phase(
        name, until=Signal.JOB_DONE, within="heartbeat", code="agent_silent", agent=True, netboot=True, harmless=harmless
    )


def _playbook(name: str, *, harmless: bool = False) -> Phase:
    return Phase(
        name,
        do="playbook.run",
        until=Signal.PLAYBOOK_DONE,
        within="playbook",
        code="playbook_timeout",
        harmless=harmless,
        only_with="playbook",
        limit="playbook_timeout",
        grace=30,
    )


_POWER_OFF = Phase("power-off", do="power.off", until=Signal.POWER_DONE, within="power", code="power_off_failed")

_RESTING = frozenset({State.NEW, State.READY, State.ALLOCATED, State.DEPLOYED, State.BROKEN, State.FAILED})
_EMPTY = frozenset({State.READY, State.ALLOCATED})


def _power(name: str, label: str) -> OperationKind:
    phase = Phase(
        "power", do=name.replace("-", "."), until=Signal.POWER_DONE, within="power", code="power_timeout", harmless=True
    )
    # Out of rescue leads exit-rescue only: switched off and on there, a machine would boot its disk and be said to be in rescue.
    return OperationKind(name, label, (phase,), allowed=_RESTING | {State.RESCUE} if name == "power-query" else _RESTING)


OPERATIONS: dict[str, OperationKind] = {
    kind.name: kind
    for kind in (
        OperationKind(
            "commission",
            "commission",
            (*_netboot(), _job("inspect"), _POWER_OFF),
            allowed=_EMPTY | {State.NEW, State.FAILED},
            starts=State.COMMISSIONING,
            ends=_EMPTY | {State.FAILED},  # its disks may hold anything since a deploy or release failed
        ),
        OperationKind(
            "test",
            "test",
            (*_netboot(), _job("test"), _POWER_OFF),
            allowed=_EMPTY | {State.BROKEN, State.FAILED},
            starts=State.TESTING,
            ends=_EMPTY | {State.BROKEN, State.FAILED},
        ),
        OperationKind(
            "deploy",
            "deploy",
            (
                *_netboot(),
                _job("install"),
                Phase(
                    "first-boot",
                    until=Signal.DEPLOYED,
                    within="first_boot",
                    code="installed_system_silent",
                    inquiry="inquire-netboot",
                ),
                _playbook("configure"),
            ),
            inquiry=(*_netboot("inquire-", harmless=False), _job("inquire")),
            allowed=_EMPTY | {State.DEPLOYED, State.FAILED},
            starts=State.DEPLOYING,
            ends=frozenset({State.DEPLOYED}),
            limited=True,
        ),
        OperationKind(
            "release",
            "release",
            (_playbook("drain", harmless=True), *_netboot(), _job("wipe"), _POWER_OFF),
            allowed=_EMPTY | {State.DEPLOYED, State.FAILED},
            starts=State.RELEASING,
            ends=_EMPTY,
        ),
        OperationKind(
            "rescue",
            "rescue",
            (*_netboot(), _job("enter", harmless=True)),
            allowed=_RESTING,
            starts=State.RESCUING,
            ends=frozenset({State.RESCUE}),
        ),
        OperationKind(
            "exit-rescue",
            "exit rescue",
            (
                Phase(
                    "leave",
                    do="power.resume",
                    until=Signal.POWER_DONE,
                    within="power",
                    code="power_timeout",
                    harmless=True,
                ),
            ),
            allowed=frozenset({State.RESCUE}),
            starts=State.RESCUING,
            ends=_RESTING,
        ),
        _power("power-on", "power on"),
        _power("power-off", "power off"),
        _power("power-cycle", "power cycle"),
        _power("power-query", "query power"),
    )
}
