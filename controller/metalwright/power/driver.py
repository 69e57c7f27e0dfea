# SPDX-License-Identifier: GPL-3.0-or-later
"""What a power driver is: the few things the controller asks of a machine's management controller.

A driver is made for one call or a few, holds no connection between calls, and may be used by several threads of a
long-lived process at the same time. Every call ends within the driver's ``timeout`` (seconds), with a result or with a
``PowerError`` that names the address asked, the cause and what to do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from metalwright.errors import MetalwrightError

BootDevice = Literal["network", "disk"]
Firmware = Literal["bios", "uefi"]

DEFAULT_TIMEOUT = 10.0


class PowerState(StrEnum):
    """Whether a machine has power. UNKNOWN: nobody can tell."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class PowerError(MetalwrightError):
    """A power call failed.

    ``code`` is one of ``bmc_unreachable`` (no answer from the address), ``bmc_auth_failed`` (it answers but does not let us
    in), ``power_refused`` (it let us in and said no, or said yes and did nothing), ``power_misconfigured`` (the call can
    never work with these parameters).
    """

    status = 502


class Parameters(BaseModel):
    """Base of every driver's parameters: unknown names are errors; secrets are ``SecretStr``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Found(NamedTuple):
    """A machine behind an address that was probed."""

    name: str
    macs: list[str]
    """As they were told, the one it boots from first where that is known."""
    parameters: dict[str, Any]
    """The driver's parameters for this machine, secrets included."""
    arch: str | None
    firmware: str | None
    problem: str = ""
    """Why no more is known of it, a clause; empty: all is well."""


class PowerDriver(Protocol):
    """The protocol of a driver. All calls are idempotent: they name the outcome, not the step."""

    name: ClassVar[str]
    Parameters: ClassVar[type[Any]]
    answers: ClassVar[bool] = True
    """Whether it can be asked for the power state."""
    only_on: ClassVar[bool] = False
    """Whether it can turn on and nothing else; ``off`` and ``cycle`` raise ``power_refused``."""

    def __init__(self, parameters: Any, timeout: float = DEFAULT_TIMEOUT) -> None: ...

    def query(self) -> PowerState:
        """Return the power state now."""

    def on(self) -> None:
        """Turn on; nothing happens if it is on."""

    def off(self, *, soft: bool = False) -> None:
        """Turn off; nothing happens if it is off. ``soft`` asks the operating system and does not wait for it."""

    def cycle(self) -> None:
        """Start again: reset if it is on, turn on if it is off."""

    def boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        """Start from ``device`` at the next start only (as far as the hardware knows what once means)."""

    def check(self) -> PowerState:
        """Try whatever can be tried without changing anything; return the power state."""
        return self.query()

    def lane(self) -> str | None:
        """What its calls share with those of other machines: the address of a BMC or host. None: nothing."""
        return None


class ProbingDriver(PowerDriver, Protocol):
    """A driver that finds the machines behind one address by itself."""

    Service: ClassVar[type[Any]]
    """The part of the parameters that is the same for all machines there."""

    @classmethod
    def probe(cls, service: Any, timeout: float) -> list[Found]:
        """Return all machines there; raises ``PowerError``."""
