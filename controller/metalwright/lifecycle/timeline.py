# SPDX-License-Identifier: GPL-3.0-or-later
"""The timeline of an operation: where the time went, and for one that is stuck, what was last seen.

Its steps are the gaps between the events of the operation, each named by the event that ends it, so their sum is the whole.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.lifecycle import diagnosis
from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.store.base import Clock
from metalwright.store.models import Event, Operation

LABELS = {
    "power.netboot": "power on, boot from network",
    "power.changed": "power call",
    "power.unreachable": "power call that failed",
    "power.reachable": "power driver answers again",
    "boot.loader": "boot loader fetched",
    "boot.start": "iPXE starts",
    "boot.script": "boot script",
    "boot.kernel": "kernel requested",
    "boot.local": "firmware, until it boots from the disk",
    "boot.refused": "boot script refused",
    "boot.contested": "boot script wanted by another too",
    "boot.agent_missing": "agent asked for, never built",
    "agent.hello": "agent loaded and started",
    "agent.refused": "another machine's agent refused",
    "machine.nic_taken": "NIC of another machine left out",
    "machine.identity_conflict": "another machine with this identity",
    "cloudinit.warning": "cloud-init: warning",
    "playbook.started": "until its playbook began",
    "playbook.ended": "playbook",
    "operation.retry": "waited in vain, trying again",
    "operation.inquiry": "nothing heard, its disk is looked at",
    "operation.succeeded": "finished",
    "operation.failed": "failed",
    "operation.aborted": "aborted",
}
"""Events that are steps, and what the time before each was spent on. Others have their labels from their data."""

NO_STEPS = frozenset({"operation.started", "operation.phase", "operation.not_followed", "script.running", "playbook.output"})
"""Events that say what begins: the time before them is told by what ended."""

BEFORE_DHCP = {
    "power.netboot": "firmware, until it asks for DHCP",
    "boot.loader": "iPXE, until it asks for DHCP",
    "boot.kernel": "agent's kernel and root fetched and started",
    "boot.local": "boot from the disk",
    "agent.handover": "kernel, until it asks for DHCP",
}
"""What the time before a DHCP request was spent on, by the step before it."""

HANDOVER = {"kexec": "disk is ready, handed over", "reboot": "disk is ready, handed over", "stay": "ready for people to log in"}
"""What the end of the agent's work is, by what it does then."""


def timeline(session: Session, operation: Operation, clock: Clock, *, sees_dhcp: bool = True) -> dict[str, Any]:
    """Return ``{operation, kind, state, started_at, steps, total_seconds, stuck}``; times are ISO 8601, durations seconds.

    Each step is ``{name, label, started_at, seconds, detail}``. ``stuck`` is None or ``{last_seen, hint}``.
    """
    events = session.scalars(select(Event).where(Event.operation_id == operation.id).order_by(Event.id)).all()
    began = operation.created_at
    now = operation.ended_at or clock()
    steps: list[dict[str, Any]] = []
    previous = began
    for event in events:
        label = _label(event, steps[-1]["name"] if steps else "")
        if label is None:
            continue
        at = max(event.at, previous)
        steps.append(_step(event.kind, label, previous, at, event.message))
        previous = at
    if operation.ended_at is None and now > previous:
        steps.append(_step("now", f"in {operation.phase or 'line'}", previous, now, operation.message))
    return {
        "operation": operation.id,
        "kind": operation.kind,
        "state": operation.state,
        "started_at": began.isoformat(),
        "steps": steps,
        "total_seconds": round((max(now, previous) - began).total_seconds(), 3),
        "stuck": _stuck(session, operation, events[-1] if events else None, now, sees_dhcp=sees_dhcp),
    }


def _label(event: Event, before: str) -> str | None:
    """What the time before the event was spent on; None for one that is no step."""
    if event.kind == "boot.dhcp":
        return BEFORE_DHCP.get(before, f"DHCP {event.data.get('packet', '')}".strip())
    if event.kind == "agent.step":
        if event.data.get("status") == "started":
            return None
        return f"agent: {event.data.get('step', 'step')} {event.data.get('status', '')}".strip()
    if event.kind == "agent.handover":
        return HANDOVER.get(str(event.data.get("action")), "agent's work done")
    if event.kind in NO_STEPS:
        return None
    if event.kind.startswith("script."):
        return f"script: {event.data.get('script', '')} {event.data.get('status', '')}".strip()
    if event.kind == "cloudinit.stage":
        if event.data.get("event_type") == "start":
            return "kernel and systemd start" if event.data.get("name") == "init-local" else None
        return f"cloud-init: {event.data.get('name', '')}"
    return LABELS.get(event.kind)


def _step(name: str, label: str, started: datetime, ended: datetime, detail: str) -> dict[str, Any]:
    seconds = round((ended - started).total_seconds(), 3)
    return {"name": name, "label": label, "started_at": started.isoformat(), "seconds": seconds, "detail": detail}


def _stuck(
    session: Session, operation: Operation, last: Event | None, now: datetime, *, sees_dhcp: bool
) -> dict[str, str] | None:
    """Running, and the last event is older than a quarter of what its phase may take."""
    if operation.state != "running" or operation.deadline is None or operation.phase is None or last is None:
        return None
    allowed = (operation.deadline - last.at).total_seconds()
    if (now - last.at).total_seconds() < allowed / 4:
        return None
    phase = OPERATIONS[operation.kind].phase(operation.phase)
    silence = diagnosis.of_silence(session, operation, phase, sees_dhcp=sees_dhcp)
    hint = silence.hint or CAUSES[silence.code].hint
    return {"last_seen": f"{last.message} ({int((now - last.at).total_seconds())} s ago)", "hint": hint}
