# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines from rows to JSON: only the columns that were asked for are read, and no object is built for a row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Row, Select, Text, bindparam, cast, or_, select
from sqlalchemy.orm import Session

from metalwright import power
from metalwright.api import operation_schema
from metalwright.errors import Invalid
from metalwright.store.models import Allocation, Interface, Machine, Operation, Subnet


@dataclass
class _Related:
    """What belongs to the machines of one page, by machine."""

    interfaces: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    operations: dict[str, operation_schema.OperationView] = field(default_factory=dict)
    allocations: dict[str, str] = field(default_factory=dict)


def _power(row: Row[Any], _related: _Related) -> dict[str, Any]:
    return {
        "driver": row.power_driver,
        "state": row.power_state,
        "checked_at": row.power_checked_at.isoformat() if row.power_checked_at else None,
        "failure": row.power_failure,
        "parameters": power.redact(row.power_driver, row.power_parameters),
    }


def _deployed(row: Row[Any], related: _Related) -> dict[str, Any] | None:
    if not row.deployed or row.state not in ("deployed", "rescuing", "rescue", "broken"):
        return None
    shown = {name: row.deployed.get(name) for name in ("image", "content_sha256", "hostname", "address", "at", "options")}
    shown["adopted"] = bool(row.deployed.get("adopted"))
    shown["network"] = row.deployed.get("network", [])
    if shown["address"] == "auto":
        cards = (i["address"] for i in related.interfaces.get(row.id, []) if i["address"])
        shown["address"] = next(iter(row.named), None) or next(cards, None)
    return shown


def _rescue(row: Row[Any], _related: _Related) -> dict[str, Any] | None:
    return {name: row.rescue.get(name) for name in ("address", "host_keys", "since")} if row.rescue else None


_COMPUTED: Mapping[str, tuple[tuple[str, ...], Callable[[Any, _Related], Any]]] = {
    "power": (("power_driver", "power_state", "power_checked_at", "power_failure", "power_parameters"), _power),
    "interfaces": ((), lambda row, related: related.interfaces.get(row.id, [])),
    "allocation": (("allocation_id",), lambda row, related: related.allocations.get(row.allocation_id or "")),
    "deployed": (("state", "deployed", "named"), _deployed),
    "rescue": (("rescue",), _rescue),
    "operation": (("operation_id",), lambda row, related: related.operations.get(row.operation_id or "")),
    "created_at": (("created_at",), lambda row, _related: row.created_at.isoformat()),
    "updated_at": (("updated_at",), lambda row, _related: row.updated_at.isoformat()),
}
"""Fields that are not simply a column: the columns they are made of, and how."""

PART = re.compile(r"hardware(\.[a-z0-9_]{1,32}){1,8}")
"""A part of the inventory that is asked for as a field of its own: its keys, separated by dots."""
MOST_PARTS = 32

# Columns of tables, not of classes: for those the mapper goes over every statement and every row of its answer.
_MACHINE, _INTERFACE, _SUBNET = Machine.__table__.c, Interface.__table__.c, Subnet.__table__.c
_INTERFACES = (
    select(*(_INTERFACE[name] for name in ("machine_id", "mac", "name", "boot", "address")), _SUBNET.name)
    .outerjoin_from(Interface.__table__, Subnet.__table__, _INTERFACE.subnet_id == _SUBNET.id)
    .where(_INTERFACE.machine_id.in_(bindparam("machines", expanding=True)))
    .order_by(_INTERFACE.position)
)
_HARDWARE = cast(_MACHINE.hardware, Text).label("hardware")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def split(fields: Sequence[str]) -> tuple[list[str], list[str]]:
    """Fields that were asked for, and parts of the inventory among them, if it is not asked for whole.

    Raises ``Invalid`` (``too_many_parts``).
    """
    parts = [name for name in dict.fromkeys(fields) if PART.fullmatch(name)]
    if len(parts) > MOST_PARTS:
        message = f"query.fields names {len(parts)} parts of the inventory; {MOST_PARTS} are the most."
        raise Invalid("too_many_parts", message, "Ask for what they are parts of.")
    plain = [name for name in fields if name not in parts]
    return plain, [] if "hardware" in plain else parts


def read(
    session: Session, fields: Collection[str], *where: ColumnElement[bool], limit: int, parts: Sequence[str] = ()
) -> Sequence[Row[Any]]:
    """Rows of machines with the columns that ``fields`` are made of, ``parts`` of the inventory, and ``id`` and ``name``, by
    name."""
    statement = _selecting(tuple(fields), tuple(parts)).where(*where).order_by(Machine.name).limit(limit)
    return session.execute(statement).all()


def named(name: str | BindParameter[str]) -> tuple[ColumnElement[bool], ColumnElement[Any]]:
    """The condition for the machine of that identifier or name, and the order in which an identifier comes first."""
    return or_(_MACHINE.id == name, _MACHINE.name == name), (_MACHINE.id == name).desc()


def read_one(session: Session, fields: Collection[str], name: str) -> Sequence[Row[Any]]:
    """As ``read``, of the machine of that identifier or name."""
    return session.execute(_selecting_one(tuple(fields)), {"named": name}).all()


@lru_cache(maxsize=64)
def _selecting_one(fields: tuple[str, ...]) -> Select[Any]:
    which, first = named(bindparam("named"))
    return _selecting(fields, ()).where(which).order_by(first).limit(1)


@lru_cache(maxsize=64)
def _selecting(fields: tuple[str, ...], parts: tuple[str, ...]) -> Select[Any]:
    """Made once for each choice of fields: putting thirty columns together is a part of what a small answer costs."""
    names = {"id", "name"}
    for name in fields:
        names.update(_COMPUTED[name][0] if name in _COMPUTED else (name,))
    columns: list[ColumnElement[Any]] = [_HARDWARE if name == "hardware" else _MACHINE[name] for name in sorted(names)]
    columns += [_MACHINE.hardware[tuple(part.split(".")[1:])].label(part) for part in parts]
    return select(*columns)


def show(session: Session, rows: Sequence[Row[Any]], fields: Collection[str]) -> list[dict[str, Any]]:
    """The machines of ``rows`` for the API, with ``fields``."""
    found = _plain(session, rows, fields)
    if "hardware" in fields:
        for shown, row in zip(found, rows, strict=True):
            shown["hardware"] = json.loads(row.hardware or "null")
    return found


def dump(session: Session, rows: Sequence[Row[Any]], fields: Collection[str], parts: Sequence[str] = ()) -> list[str]:
    """As ``show``, but as JSON text: the inventories are the most of it, and are passed on as the database holds them."""
    found = _plain(session, rows, fields)
    for shown, row in zip(found, rows, strict=True) if parts else ():
        shown["hardware"] = _nested(row, parts)
    texts = [_encode(shown) for shown in found]
    if "hardware" not in fields:
        return texts
    comma = "," if len(fields) > 1 else ""
    return [f'{text[:-1]}{comma}"hardware":{row.hardware or "null"}}}' for text, row in zip(texts, rows, strict=True)]


def _nested(row: Row[Any], parts: Sequence[str]) -> dict[str, Any] | None:
    """The parts of an inventory, each in its place; None where there is none of them."""
    found: dict[str, Any] = {}
    for part in parts:
        value = row._mapping[part]
        if value is not None:
            *above, last = part.split(".")[1:]
            place = found
            for key in above:
                place = place.setdefault(key, {})
            place[last] = value
    return found or None


def _plain(session: Session, rows: Sequence[Row[Any]], fields: Collection[str]) -> list[dict[str, Any]]:
    related = _related(session, rows, fields)
    makers = [(name, _COMPUTED[name][1] if name in _COMPUTED else None) for name in fields if name != "hardware"]
    return [{name: make(row, related) if make else getattr(row, name) for name, make in makers} for row in rows]


def _related(session: Session, rows: Sequence[Row[Any]], fields: Collection[str]) -> _Related:
    related = _Related()
    if "interfaces" in fields or "deployed" in fields:
        of = {"machines": [row.id for row in rows]}
        for row in session.execute(_INTERFACES, of):
            machine_id, *columns = row
            shown = dict(zip(("mac", "name", "boot", "address", "subnet"), columns, strict=True))
            related.interfaces.setdefault(machine_id, []).append(shown)
    if "operation" in fields and (busy := [row.operation_id for row in rows if row.operation_id]):
        for operation in session.scalars(select(Operation).options(*operation_schema.LIGHT).where(Operation.id.in_(busy))):
            related.operations[operation.id] = operation_schema.show(operation)
    if "allocation" in fields and (held := {row.allocation_id for row in rows if row.allocation_id}):
        found = select(Allocation.id, Allocation.name).where(Allocation.id.in_(held))
        related.allocations = dict(session.execute(found).all())
    return related
