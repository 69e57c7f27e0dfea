# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end of a step means to the machine, beside that the step has ended: its tests' outcome, the way into its rescue."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from metalwright.lifecycle import script_runs
from metalwright.node.report import valid_host_keys
from metalwright.store.models import Operation

_MOST_KEYS = 16


def scripts_ended(session: Session, operation: Operation) -> dict[str, Any] | None:
    """Note how the machine's tests went; answers why the operation fails, as ``Engine.fail`` takes it, or None.

    What the agent reported of each run decides, not what it says of the step: it may have restarted since one of them failed.
    """
    script_runs.settle(session, operation)
    return script_runs.verdict(session, operation, over=True)


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
    try:
        return str(ipaddress.ip_address(said)) if isinstance(said, str) else None
    except ValueError:
        return None
