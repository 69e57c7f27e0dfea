# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a machine. Which may follow which, and by what, is in ``transitions``."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a machine stands. ``failed`` keeps in ``failed_from`` what it failed at; ``locked`` is a flag, not a state."""

    NEW = "new"
    COMMISSIONING = "commissioning"
    TESTING = "testing"
    READY = "ready"
    ALLOCATED = "allocated"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    RELEASING = "releasing"
    RESCUING = "rescuing"
    RESCUE = "rescue"
    BROKEN = "broken"
    FAILED = "failed"


WAYS_ON: dict[State, str] = {
    State.NEW: "Commission it first.",
    State.DEPLOYED: "Release it first.",
    State.RESCUE: "Leave rescue first: metalwright machine exit-rescue {name}",
    State.BROKEN: "It was marked broken. When it is mended: metalwright machine mark-fixed {name}",
    State.FAILED: "It failed. What now: metalwright explain {name}",
}
"""What to do first about a machine that refuses because of its state."""


def way_on(state: str, name: str) -> str:
    """The hint for a machine of that name that refuses because it is in ``state``; empty where there is none."""
    return WAYS_ON.get(State(state), "").format(name=name)


TRANSIENT = frozenset({State.COMMISSIONING, State.TESTING, State.DEPLOYING, State.RELEASING, State.RESCUING})
"""States in which an operation is under way: never left without one."""

MEANINGS: dict[State, str] = {
    State.NEW: "Known, but nobody has looked at its hardware.",
    State.COMMISSIONING: "The agent looks at the hardware, and runs commissioning and test scripts.",
    State.TESTING: "The agent runs test scripts.",
    State.READY: "Commissioned, empty and free.",
    State.ALLOCATED: "Ready, and reserved by an allocation.",
    State.DEPLOYING: "An image is being written, or boots for the first time.",
    State.DEPLOYED: "cloud-init on its own disk reported success; or it was adopted.",
    State.RELEASING: "The agent runs release scripts and erases the disks.",
    State.RESCUING: "On the way into rescue, or out of it.",
    State.RESCUE: "The agent runs in memory and lets people in by SSH; the disks are not touched.",
    State.BROKEN: "Marked by a person: not to be used.",
    State.FAILED: "An operation failed after it had changed something. Its record says what, why, and what to do.",
}
