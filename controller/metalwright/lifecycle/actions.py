# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do to a machine at once, without an operation: adopt, mark broken or fixed, override a failed test, lock, delete.

Each works inside the caller's writing transaction and raises ``Conflict``: ``machine_busy``, ``machine_locked``, ``wrong_state``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.lifecycle import tasks
from metalwright.lifecycle.deploy import check_hostname_free
from metalwright.lifecycle.ending import not_empty
from metalwright.lifecycle.engine import Engine, check_idle
from metalwright.lifecycle.states import State, way_on
from metalwright.lifecycle.transitions import ACTIONS, transition
from metalwright.network.addresses import ensure_address
from metalwright.store.events import record
from metalwright.store.models import Machine


def adopt(
    session: Session,
    engine: Engine,
    machine: Machine,
    *,
    by: str,
    hostname: str | None = None,
    address: str = "auto",
    image: str = "",
    host_keys: list[str] | None = None,
) -> None:
    """Take a machine that already runs a system as ``deployed``. Nothing is done to it, now or later without ``wipe_adopted``.

    ``image`` is free text: what runs there. ``address`` is one of its subnet's static range, ``auto`` or ``dhcp``. Also raises
    ``Conflict`` (``hostname_taken``) and what ``network.addresses.ensure_address`` raises.
    """
    check(session, machine, "adopt")
    name = hostname or machine.name
    check_hostname_free(session, machine, name)
    if address != "dhcp":
        ensure_address(session, machine, address, ours=urlsplit(engine.settings.node.url).hostname)
    before = machine.state
    transition(session, machine, State.DEPLOYED, holder=None, new_holder=None)
    machine.hostname = name
    machine.host_keys = host_keys or []
    machine.deployed = {
        "adopted": True,
        "image": image,
        "hostname": name,
        "address": machine.boot_interface.address if machine.boot_interface and address != "dhcp" else address,
        "at": engine.clock().isoformat(),
        "options": {},
    }
    tasks.enqueue(session, "network.apply", {}, machine=machine, now=engine.clock())
    _tell(session, machine, "machine.adopted", f"{machine.name} was adopted as it is by {by}", by, engine.clock(), before)


def mark_broken(session: Session, machine: Machine, *, by: str, note: str, now: datetime) -> None:
    """Take a machine out of use; what runs on it runs on."""
    check(session, machine, "mark-broken")
    machine.former_state = machine.state
    machine.note = note
    transition(session, machine, State.BROKEN, holder=None, new_holder=None)
    message = f"{machine.name} was marked broken by {by}: {note or 'no reason given'}"
    _tell(session, machine, "machine.broken", message, by, now, machine.former_state)


def mark_fixed(session: Session, machine: Machine, *, by: str, now: datetime) -> None:
    """Put a machine back to where it was before it was marked broken."""
    check(session, machine, "mark-fixed")
    former = State(machine.former_state or State.NEW)
    if former == State.ALLOCATED and machine.allocation_id is None:  # given back meanwhile
        former = State.READY
    transition(session, machine, former, holder=None, new_holder=None)
    machine.former_state = None
    machine.note = ""
    message = f"{machine.name} was marked fixed by {by}: it is {former} again"
    _tell(session, machine, "machine.fixed", message, by, now, State.BROKEN)


def override_failed_test(session: Session, machine: Machine, *, by: str, now: datetime) -> None:
    """Let a machine be used although a required test failed. Raises ``Conflict`` (``no_failed_test``) if that is not why."""
    check(session, machine, "override-failed-test")
    after = State.ALLOCATED if machine.allocation_id else State.READY
    transition(session, machine, after, holder=None, new_holder=None)
    machine.failure, machine.failed_from, machine.test_status = None, None, "overridden"
    message = f"{machine.name}: its failed test was overridden by {by}"
    _tell(session, machine, "machine.test_overridden", message, by, now, State.FAILED)


def check_delete(session: Session, machine: Machine, *, force: bool) -> None:
    """Raise ``Conflict`` unless the machine may be deleted now."""
    check_idle(session, machine)
    _check_not_locked(machine)
    if (machine.state == State.DEPLOYED or machine.deployed) and not force:
        message = f"{machine.name} is deployed; it would go on running, and nobody would know its address is in use."
        hint = "Release it first. To forget it all the same: force=true, as an option --force."
        raise Conflict("wrong_state", message, hint, machine=machine.name, state=machine.state)


def delete(session: Session, machine: Machine, *, by: str, force: bool, now: datetime) -> None:
    """Forget a machine and give its addresses back. Nothing is done to the hardware; its events stay.

    Raises ``Conflict`` (``wrong_state``) for one that is deployed, unless ``force``.
    """
    check_delete(session, machine, force=force)
    data = {"by": by, "before": machine.state, "state": None}
    record(session, "machine.deleted", f"machine {machine.name} was deleted by {by}", machine=machine, data=data, at=now)
    session.flush()
    session.delete(machine)
    tasks.enqueue(session, "network.apply", {}, now=now)


def set_locked(session: Session, machine: Machine, locked: bool, *, by: str, now: datetime) -> None:
    """Lock or unlock a machine: a locked one is not operated on and not deleted."""
    if machine.locked != locked:
        machine.locked = locked
        what = "locked" if locked else "unlocked"
        _tell(session, machine, f"machine.{what}", f"{machine.name} was {what} by {by}", by, now, machine.state)


def check(session: Session, machine: Machine, name: str) -> None:
    """Raise ``Conflict`` unless what ``ACTIONS`` calls ``name`` may be done to the machine now."""
    check_idle(session, machine)
    _check_not_locked(machine)
    allowed = ACTIONS[name].allowed
    if machine.state not in allowed:
        raise Conflict(
            "wrong_state",
            f"{machine.name} is {machine.state}; {name} starts from: {', '.join(sorted(allowed))}.",
            way_on(machine.state, machine.name),
            state=machine.state,
            machine=machine.name,
        )
    code = (machine.failure or {}).get("code")
    if name == "override-failed-test" and code != "test_failed":
        raise Conflict(
            "no_failed_test",
            f"{machine.name} did not fail at a test but with {code}.",
            "Start an operation: each may be started straight from failed.",
            machine=machine.name,
        )
    if name == "override-failed-test" and not_empty(machine):
        raise Conflict(
            "not_empty",
            f"{machine.name} failed at {machine.failed_from} before: its disks may hold anything.",
            f"Release it: metalwright machine release {machine.name}",
            machine=machine.name,
        )


def _check_not_locked(machine: Machine) -> None:
    if machine.locked:
        raise Conflict("machine_locked", f"{machine.name} is locked.", "Unlock it first.", machine=machine.name)


def _tell(session: Session, machine: Machine, kind: str, message: str, by: str, at: datetime, before: str) -> None:
    data: dict[str, Any] = {"by": by, "before": before, "state": machine.state}
    record(session, kind, message, machine=machine, data=data, at=at)
