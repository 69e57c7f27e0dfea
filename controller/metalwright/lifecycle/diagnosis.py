# SPDX-License-Identifier: GPL-3.0-or-later
"""What a silence means: from the events of an operation to the code of its failure.

Between power-on and the agent every step of a machine leaves an event (DHCP, loader, boot script, kernel). The last one that is
there says which step the machine did not take.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.operations import Phase, Signal
from metalwright.store.models import Event, Operation

_TO_THE_SCRIPT = (("boot.refused", "boot_refused"), ("boot.loader", "no_boot_script"), ("boot.dhcp", "no_loader"))
"""Before the boot script, from the last step back to the first: an event that is there, and the failure it leads to."""


def of_silence(session: Session, operation: Operation, phase: Phase) -> str:
    """The code of the failure of an operation whose phase has passed its deadline."""
    if phase.until == Signal.BOOT_SCRIPT:
        seen = _since(session, operation, "power.netboot")
        if seen is None:
            return phase.code
        return next((code for kind, code in _TO_THE_SCRIPT if kind in seen), "no_dhcp")
    if phase.until == Signal.HELLO:
        seen = _since(session, operation, "boot.script") or set()
        if "agent.refused" in seen:
            return "identity_mismatch"
        return phase.code if "boot.kernel" in seen else "no_kernel"
    if phase.name == "first-boot":
        seen = _since(session, operation, "agent.handover") or set()
        return "first_boot_silent" if "cloudinit.stage" in seen else phase.code
    return phase.code


def said(code: str) -> str:
    """What a code means, to go into a message after a machine's name."""
    what = CAUSES[code].what.rstrip(".")
    return what[0].lower() + what[1:] if not what.startswith("BMC") else what


def _since(session: Session, operation: Operation, kind: str) -> set[str] | None:
    """The kinds of the events since the last one of ``kind``; None when there is none."""
    last = session.scalar(
        select(Event.id).where(Event.operation_id == operation.id, Event.kind == kind).order_by(Event.id.desc()).limit(1)
    )
    if last is None:
        return None
    return set(session.scalars(select(Event.kind).where(Event.operation_id == operation.id, Event.id > last)))
