# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines of a libvirt host, local or remote, each call in a process of its own (see ``child`` for the reason)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from metalwright.power import child
from metalwright.power.driver import DEFAULT_TIMEOUT, BootDevice, Firmware, Parameters, PowerError, PowerState

SCRIPT = Path(__file__).with_name("libvirt_call.py")

HINTS = {
    "bmc_unreachable": "Try 'virsh -c {uri} list' on the controller, as the user it runs as.",
    "bmc_auth_failed": "The controller's user must be allowed in without a password (ssh key or polkit rule).",
    "power_refused": "Look at libvirt's log of the domain.",
    "power_misconfigured": "'virsh -c {uri} list --all' shows the domains there.",
}


class LibvirtParameters(Parameters):
    """Which domain of which host."""

    uri: str = Field("qemu:///system", pattern=r"^[a-z+]+://\S*$", description="libvirt connection URI.")
    domain: str = Field(min_length=1, description="Name of the domain.")


class LibvirtDriver:
    """A libvirt domain as a machine. ``boot_once`` puts the device first for good: libvirt knows no one-time boot."""

    name: ClassVar[str] = "libvirt"
    Parameters: ClassVar[type[LibvirtParameters]] = LibvirtParameters

    def __init__(self, parameters: LibvirtParameters, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.parameters = parameters
        self.timeout = timeout

    def query(self) -> PowerState:
        """Ask whether the domain runs."""
        return PowerState(self._call("query"))

    def on(self) -> None:
        """Start the domain."""
        self._call("power", wanted="on")

    def off(self, *, soft: bool = False) -> None:
        """Stop the domain at once; ``soft`` presses its power button (ACPI)."""
        self._call("power", wanted="soft" if soft else "off")

    def cycle(self) -> None:
        """Stop a running domain and start it, start another: only so does a changed boot order hold."""
        self._call("power", wanted="cycle")

    def boot_once(self, device: BootDevice, firmware: Firmware) -> None:  # noqa: ARG002
        """Put the device first in the boot order of the domain; firmware is the domain's own affair."""
        self._call("boot", device=device)

    def _call(self, name: str, **arguments: Any) -> Any:
        mine = self.parameters
        try:
            return child.call(SCRIPT, {**mine.model_dump(), "call": name, **arguments}, self.timeout)
        except child.CallFailed as error:
            raise PowerError(
                error.code,
                f"Domain {mine.domain} at {mine.uri}: {error.reason}.",
                HINTS[error.code].format(uri=mine.uri),
                uri=mine.uri,
                domain=mine.domain,
                call=name,
            ) from None
