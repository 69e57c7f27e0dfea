# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``metalwright network`` does on the controller's own host, straight with its database and the engine's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from metalwright.cli.local import open_controller
from metalwright.errors import Invalid
from metalwright.network import engines
from metalwright.network.engines.external import Changes, External
from metalwright.network.state import read
from metalwright.network.turns import turn
from metalwright.store.models import Task


def status(config: Path | None) -> dict[str, Any]:
    """The engine, its processes with what they refused last, the leases and the changes that wait."""
    settings, store = open_controller(config)
    engine = engines.create(settings)
    with store.session() as session:
        waiting = (Task.kind == "network.apply", Task.state.in_(("pending", "running")))
        count = session.scalar(select(func.count()).where(*waiting))
    processes = [{"name": each.name, "refused": each.configuration.refused()} for each in engine.processes()]
    return {"engine": settings.dhcp.engine, "processes": processes, "leases": len(engine.leases()), "waiting": count}


def differences(config: Path | None) -> Changes:
    """What the site's own servers were not told yet: it is taken as shown. Raises ``Invalid`` (``engine_follows``)."""
    settings, _ = open_controller(config)
    engine = engines.create(settings)
    if not isinstance(engine, External):
        message = f"[dhcp] engine is {settings.dhcp.engine}: there are no servers of others that would have to be told."
        raise Invalid("engine_follows", message, "'metalwright network status' shows how it is.")
    return engine.show()


def apply(config: Path | None) -> dict[str, Any]:
    """Bring the engine to what the database says; ``change`` is what it took.

    Where no hook tells the site's own servers, a person has told them what ``differences`` showed last. ``untold``: there is more
    that they were not told. Raises what ``Engine.apply`` raises, and ``Invalid`` (``nothing_shown``).
    """
    settings, store = open_controller(config)
    engine = engines.create(settings)
    for process in engine.processes():
        process.configuration.forget_refusal()
    with turn(settings):
        with store.session() as session:
            state = read(session, settings)
        change = engine.apply(state)
    untold = False
    if isinstance(engine, External) and not settings.dhcp.hook:
        acknowledged = engine.acknowledge()
        untold = bool(engine.differences())
        if untold and not acknowledged:
            message = "There are changes that 'metalwright network diff' has not shown yet: nothing was marked as carried over."
            raise Invalid("nothing_shown", message, "Run it, carry over what it shows, and then run this again.")
    return {"change": str(change), "untold": untold}
