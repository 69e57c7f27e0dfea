# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that a person turns on and off: the driver does nothing and knows nothing."""

from __future__ import annotations

from typing import ClassVar

from metalwright.power.driver import DEFAULT_TIMEOUT, BootDevice, Firmware, Parameters, PowerDriver, PowerState


class ManualParameters(Parameters):
    """Nothing to say about a machine that nobody controls from afar."""


class ManualDriver(PowerDriver):
    """Every call succeeds at once; the operation then waits for the person, up to its deadline."""

    name: ClassVar[str] = "manual"
    Parameters: ClassVar[type[ManualParameters]] = ManualParameters
    answers = False

    def __init__(self, parameters: ManualParameters, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.parameters = parameters
        self.timeout = timeout

    def query(self) -> PowerState:
        """Return UNKNOWN."""
        return PowerState.UNKNOWN

    def on(self) -> None:
        """Leave it to the person."""

    def off(self, *, soft: bool = False) -> None:
        """Leave it to the person."""

    def cycle(self) -> None:
        """Leave it to the person."""

    def boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        """Leave it to the person."""
