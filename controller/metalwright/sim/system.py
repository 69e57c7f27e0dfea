# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed system: what ``node/target/report.py`` tells of a first boot, until it is acknowledged."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from metalwright.sim.hardware import Hardware
from metalwright.sim.http import Cable, NoAnswer, Refused
from metalwright.sim.tally import Tally

_STAGES = ("init-local", "init-network", "modules-config", "modules-final")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


async def first_boot(hardware: Hardware, cable: Cable, tally: Tally, url: str) -> None:
    """Tell of the stages, then of the end with the SSH host keys, again and again."""
    began = time.time()
    with tally.timed("first boot"):
        stages = [{"name": name, "started": began, "finished": began, "failed": False} for name in _STAGES]
        half = [*stages[:2], {**stages[2], "finished": None}]
        await _send(cable, url, {"event_type": "progress", "stages": half, "console": "Cloud-init is at work\n"})
        finished = {
            "event_type": "finished",
            "status": "done",
            "datasource": "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]",
            "host_keys": hardware.host_keys(),
            "stages": stages,
            "console": "Cloud-init is done\n",
        }
        pause = _FIRST_PAUSE
        while not await _send(cable, url, finished):
            tally.events["reports repeated"] += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


async def _send(cable: Cable, url: str, report: dict[str, Any]) -> bool:
    """True when the controller has it, or has nothing to do with this first boot any more."""
    try:
        return bool((await cable.post(url, {"origin": "metalwright", **report, "now": time.time()})).get("acknowledged"))
    except Refused as error:
        return error.status == 404 and error.code == "not_found"
    except NoAnswer:
        return False
