# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations as data: each a list of phases, declared once.

A phase begins with an effect (``do``, a task for the outbox) and ends with a signal (``until``). Its deadline is counted from
the last sign of life, with the number of seconds that the setting ``deadlines.<within>`` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from metalwright.lifecycle.states import State


class Signal(StrEnum):
    """What moves an operation on."""

    POWER_DONE = "power-done"
    POWER_FAILED = "power-failed"
    BOOT_SCRIPT = "boot-script"
    HELLO = "hello"
    PROGRESS = "progress"
    STEP = "step"
    JOB_DONE = "job-done"
    JOB_FAILED = "job-failed"
    FIRST_BOOT = "first-boot"
    DEPLOYED = "deployed"
    FIRST_BOOT_FAILED = "first-boot-failed"


FAILURES = frozenset({Signal.POWER_FAILED, Signal.JOB_FAILED, Signal.FIRST_BOOT_FAILED})


@dataclass(frozen=True)
class Phase:
    """A step of an operation that the user can see."""

    name: str
    until: Signal
    within: str
    """Name of the setting in ``[deadlines]``."""
    code: str
    """The failure's code when the deadline passes."""
    hint: str
    """What usually causes that, and what to do."""
    do: str | None = None
    """Kind of the task with which the phase begins."""
    again: str | None = None
    """The phase to go back to when the deadline passes, up to ``deadlines.netboot_attempts`` times; None: the operation fails."""
    harmless: bool = False
    """Nothing on the machine's disks has been changed: failing or aborting here leaves the machine in its former state."""
    agent: bool = False
    """The agent works in this phase; a machine that asks for its boot script again has restarted and begins anew."""


@dataclass(frozen=True)
class OperationKind:
    """An operation: where it may start, what it goes through, where it ends."""

    name: str
    label: str
    phases: tuple[Phase, ...]
    allowed: frozenset[State]
    starts: State | None = None
    ends: State | None = None
    limited: bool = False
    """Counts against ``limits.installs``; the rest wait in line."""

    def phase(self, name: str) -> Phase:
        """The phase of that name."""
        return next(phase for phase in self.phases if phase.name == name)

    def after(self, name: str) -> Phase | None:
        """The phase that follows the one named; None after the last."""
        names = [phase.name for phase in self.phases]
        following = names.index(name) + 1
        return self.phases[following] if following < len(self.phases) else None


def _netboot() -> tuple[Phase, Phase]:
    return (
        Phase(
            "netboot",
            do="power.netboot",
            until=Signal.BOOT_SCRIPT,
            within="netboot",
            code="no_netboot",
            hint="The machine was told to boot from the network but never asked for its boot script. Check that network boot "
            "is enabled in its firmware, that its boot NIC is on the provisioning network, and that nobody else answers DHCP.",
            again="netboot",
            harmless=True,
        ),
        Phase(
            "boot",
            until=Signal.HELLO,
            within="boot",
            code="agent_no_hello",
            hint="The boot script was fetched but the agent never reported. Look at the machine's console: the kernel may lack a "
            "driver for the NIC, or the machine has less than 1 GiB of memory.",
            again="netboot",
            harmless=True,
        ),
    )


def _job(name: str, *, harmless: bool = False) -> Phase:
    return Phase(
        name,
        until=Signal.JOB_DONE,
        within="heartbeat",
        code="agent_silent",
        hint="The agent stopped reporting. Look at the machine's console and its power state, then start the operation again.",
        agent=True,
        harmless=harmless,
    )


_POWER_OFF = Phase(
    "power-off",
    do="power.off",
    until=Signal.POWER_DONE,
    within="power",
    code="power_off_failed",
    hint="The machine's work is done but it could not be turned off.",
)

_IDLE = frozenset({State.NEW, State.READY, State.ALLOCATED, State.DEPLOYED, State.FAILED})


def _power(name: str, label: str) -> OperationKind:
    phase = Phase(
        "power",
        do=name.replace("-", "."),
        until=Signal.POWER_DONE,
        within="power",
        code="power_timeout",
        hint="The power driver gave no answer. Is a worker running (metalwright status)?",
        harmless=True,
    )
    return OperationKind(name, label, (phase,), allowed=_IDLE)


OPERATIONS: dict[str, OperationKind] = {
    kind.name: kind
    for kind in (
        OperationKind(
            "commission",
            "commission",
            (*_netboot(), _job("inspect", harmless=True), _POWER_OFF),
            allowed=frozenset({State.NEW, State.READY, State.ALLOCATED, State.FAILED}),
            starts=State.COMMISSIONING,
            ends=State.READY,
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
                    code="first_boot_silent",
                    hint="The disk was written but cloud-init never reported its end. Look at the machine's console: did it boot "
                    "from its disk, and did its network come up?",
                ),
            ),
            allowed=frozenset({State.READY, State.ALLOCATED, State.DEPLOYED, State.FAILED}),
            starts=State.DEPLOYING,
            ends=State.DEPLOYED,
            limited=True,
        ),
        OperationKind(
            "release",
            "release",
            (*_netboot(), _job("wipe"), _POWER_OFF),
            allowed=frozenset({State.READY, State.ALLOCATED, State.DEPLOYED, State.FAILED}),
            starts=State.RELEASING,
            ends=State.READY,
        ),
        _power("power-on", "power on"),
        _power("power-off", "power off"),
        _power("power-cycle", "power cycle"),
        _power("power-query", "query power"),
    )
}
