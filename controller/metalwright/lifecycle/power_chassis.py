# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that were found behind one address become machines here, unless they are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from netaddr import EUI, AddrFormatError, mac_unix_expanded
from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.errors import Conflict
from metalwright.lifecycle.power_settings import set_power
from metalwright.network.naming import check_machine_name
from metalwright.power import Found
from metalwright.store.events import record
from metalwright.store.models import Interface, Machine

ARCHITECTURES = ("amd64", "arm64")


class Outcome(TypedDict):
    """What became of one: ``outcome`` is ``added``, ``known`` or ``skipped``, ``reason`` why; ``machine`` is its name here."""

    name: str
    macs: list[str]
    outcome: str
    machine: str | None
    reason: str


@dataclass(frozen=True)
class Wanted:
    """Which machines, and what they are given."""

    driver: str
    name_filter: str
    """A pattern with ``*``, ``?`` and ``[...]`` for the name they have there; upper and lower case differ."""
    pool: str
    zone: str
    tags: list[str]


def take_in(session: Session, found: Sequence[Found], wanted: Wanted, *, by: str, now: datetime) -> list[Outcome]:
    """Add what is new, by its MAC addresses; answers what became of each, in the order of their names. ``by`` is who asked."""
    return [_take_in(session, each, wanted, by, now) for each in sorted(found, key=lambda each: each.name)]


def _take_in(session: Session, found: Found, wanted: Wanted, by: str, now: datetime) -> Outcome:
    macs = list(dict.fromkeys(mac for text in found.macs if (mac := _mac(text))))

    def outcome(what: str, machine: str | None, reason: str) -> Outcome:
        return {"name": found.name, "macs": macs, "outcome": what, "machine": machine, "reason": reason}

    if found.problem:
        return outcome("skipped", None, found.problem)
    if not fnmatchcase(found.name, wanted.name_filter):
        return outcome("skipped", None, f"its name does not fit {wanted.name_filter}")
    if not macs:
        return outcome("skipped", None, "no MAC address of it is known there")
    if owners := _owners(session, macs):
        if len(owners) == 1:
            return outcome("known", owners[0], "a machine here has its MAC addresses")
        return outcome("skipped", None, f"its MAC addresses belong to several machines: {', '.join(owners)}")
    try:
        with session.begin_nested():
            machine = _add(session, found, macs, wanted, now)
    except IntegrityError:
        return outcome("skipped", None, "another request has added it, or a machine of its name, at the same moment")
    message = f"machine {machine.name} was added by {by}, as {found.name} of {machine.power_lane or wanted.driver}"
    record(session, "machine.created", message, machine=machine, data={"macs": macs, "found_as": found.name}, at=now)
    return outcome("added", machine.name, "")


def _owners(session: Session, macs: list[str]) -> list[str]:
    statement = select(Machine.name).join(Interface).where(Interface.mac.in_(macs)).distinct().order_by(Machine.name)
    return list(session.scalars(statement))


def _add(session: Session, found: Found, macs: list[str], wanted: Wanted, now: datetime) -> Machine:
    machine = Machine(
        name=_free_name(session, found.name, macs[0]),
        arch=found.arch if found.arch in ARCHITECTURES else "amd64",
        firmware=found.firmware if found.firmware in ("bios", "uefi") else None,
        pool=wanted.pool,
        zone=wanted.zone,
        tags=list(wanted.tags),
        created_at=now,
        updated_at=now,
    )
    set_power(machine, wanted.driver, found.parameters)
    machine.interfaces = [Interface(mac=mac, position=place, boot=place == 0) for place, mac in enumerate(macs)]
    session.add(machine)
    session.flush()
    return machine


def _free_name(session: Session, wished: str, mac: str) -> str:
    """The name it has there as a label of RFC 1123, else one made from its MAC address."""
    name = re.sub(r"[^a-z0-9]+", "-", wished.partition(".")[0].lower()).strip("-")[:63].rstrip("-")
    taken = select(Machine.id).where(or_(Machine.name == name, Machine.hostname == name)).limit(1)
    if name and session.scalar(taken) is None:
        with suppress(Conflict):
            check_machine_name(session, name, [mac])
            return name
    return "m-" + mac.replace(":", "")


def _mac(text: Any) -> str | None:
    """Lower case with colons; None for what is no address of an Ethernet interface of its own (IEEE 802)."""
    try:
        mac = EUI(str(text), version=48, dialect=mac_unix_expanded)
    except (AddrFormatError, ValueError):
        return None
    return None if mac.value >> 40 & 1 or not mac.value else str(mac)
