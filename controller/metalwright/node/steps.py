# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end of a step means to the machine, beside that it has ended: how tests went, what was not wiped, where to log in."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from metalwright.lifecycle import script_runs
from metalwright.node.bodies import Word
from metalwright.node.report import valid_host_keys
from metalwright.store.models import Operation

_MOST_KEYS = 16


def scripts_ended(session: Session, operation: Operation) -> dict[str, Any] | None:
    """Note how the machine's tests went; answers why the operation fails, as ``Engine.fail`` takes it, or None.

    What the agent reported of each run decides, not what it says of the step: it may have restarted since one of them failed.
    """
    script_runs.settle(session, operation)
    return script_runs.verdict(session, operation, over=True)


def wiped(operation: Operation, result: dict[str, Any]) -> dict[str, Any] | None:
    """Why a release fails though its agent wiped all disks that it saw: the machine has more. None: it does not.

    A disk whose controller card or cable has failed is not seen, and keeps its content for the next who has the machine.
    """
    said = result.get("disks")
    seen = {_word(disk.get("id")) for disk in said if isinstance(disk, dict)} if isinstance(said, list) else set()
    known = (operation.machine.hardware or {}).get("disks") or []
    missing = [disk for disk in known if disk.get("id") and not disk.get("removable") and disk["id"] not in seen]
    if not missing:
        return None
    named = ", ".join(f"{disk.get('name', 'disk')} ({disk['id']})" for disk in missing)
    return {"code": "disk_missing", "message": f"{operation.machine.name}: not seen and so not wiped: {named}"}


def _word(said: Any) -> str:
    """An identifier as it is in the inventory."""
    return TypeAdapter(Word).validate_python(str(said))


def rescued(operation: Operation, result: dict[str, Any], caller: str | None, now: datetime) -> None:
    """Note where the machine lets people in, and by which host keys they know it; ``caller`` is where its agent calls from."""
    said = result.get("host_keys")
    lines = [line for line in said if isinstance(line, str)] if isinstance(said, list) else []
    operation.machine.rescue = {
        "address": _address(result.get("address")) or caller,
        "host_keys": valid_host_keys(lines)[:_MOST_KEYS],
        "since": now.isoformat(),
    }


def _address(said: Any) -> str | None:
    """An address that others can reach; a zone, which may be any text, makes it one of the machine's own (RFC 4007)."""
    try:
        return str(ipaddress.ip_address(said)) if isinstance(said, str) and "%" not in said else None
    except ValueError:
        return None
