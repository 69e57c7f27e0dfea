# SPDX-License-Identifier: GPL-3.0-or-later
"""Which switch port each interface is plugged into, as lldpd has heard it (IEEE 802.1AB)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .abort import Abort
from .children import run
from .errors import CommandFailed

LISTEN_UNTIL = 45.0
"""Seconds after the kernel's start by which a switch has spoken: LLDP is sent every 30 s."""
_POLL = 1.0


def neighbours(nics: Iterable[str], abort: Abort, *, wait: bool) -> dict[str, dict[str, str]]:
    """Return ``{interface: {"chassis", "port", "system"}}`` of the neighbours heard.

    With ``wait``, listens on until every interface of ``nics`` has one, or ``LISTEN_UNTIL``: lldpd itself may only be starting.
    """
    wanted = set(nics)
    while True:
        try:
            heard = parse(json.loads(run(["lldpcli", "-f", "json0", "show", "neighbors"], abort, timeout=10)))
        except (CommandFailed, ValueError):
            heard = {}
        if not wait or wanted <= set(heard) or time.monotonic() > LISTEN_UNTIL:
            return heard
        abort.sleep(_POLL)


def parse(answer: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return what ``lldpcli -f json0`` printed by interface; of several neighbours on one interface the first one counts."""
    found: dict[str, dict[str, str]] = {}
    for part in _list(answer.get("lldp")):
        for interface in _list(part.get("interface")):
            chassis = _first(interface.get("chassis"))
            port = _first(interface.get("port"))
            name = str(interface.get("name", ""))
            if name and name not in found:
                found[name] = {"chassis": _value(chassis, "id"), "port": _value(port, "id"), "system": _value(chassis, "name")}
    return found


def _list(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _first(value: object) -> dict[str, Any]:
    return next(iter(_list(value)), {})


def _value(parent: Mapping[str, Any], name: str) -> str:
    return str(_first(parent.get(name)).get("value", ""))
