# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine takes the place of another, and no machine loses its address: the leases go along."""

from __future__ import annotations

import time
from dataclasses import dataclass

from metalwright.config import Settings
from metalwright.network.engines import Engine, create
from metalwright.network.engines.configuration import replace


@dataclass(frozen=True)
class Taken:
    """From which engine how many leases came."""

    former: str
    count: int


def take_over(settings: Settings, engine: Engine) -> Taken | None:
    """Hand the leases of the engine that served last to this one, which serves now; called before its processes run.

    Which one served last is in ``<data_dir>/network-engine``. None where that is the same one, or there was none.
    """
    path = settings.data_dir / "network-engine"
    name = settings.dhcp.engine
    former = path.read_text(encoding="ascii").strip() if path.exists() else name
    taken = None
    if former != name:
        dhcp = settings.dhcp.model_copy(update={"engine": former})
        now = time.time()
        leases = [lease for lease in create(settings.model_copy(update={"dhcp": dhcp})).leases() if not lease.ended(now)]
        if leases:
            engine.take_over(leases)
        taken = Taken(former, len(leases))
    if not path.exists() or former != name:
        replace(path, f"{name}\n")
    return taken
