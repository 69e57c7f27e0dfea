# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine's power driver and its parameters are stored, with what follows from them."""

from __future__ import annotations

from typing import Any

from metalwright import power
from metalwright.store.models import Machine


def set_power(machine: Machine, driver: str, parameters: dict[str, Any]) -> None:
    """Give a machine a power driver. What was known through the one before is forgotten, and it is asked soon.

    Raises ``Invalid`` (``power_misconfigured``): nothing is stored that the driver would not take.
    """
    lane = power.lane(driver, parameters)
    if (driver, parameters) == (machine.power_driver, machine.power_parameters):
        machine.power_lane = lane
        return
    machine.power_driver, machine.power_parameters, machine.power_lane = driver, parameters, lane
    machine.power_state, machine.power_checked_at, machine.power_failure = str(power.PowerState.UNKNOWN), None, None
    machine.power_poll_at = None
