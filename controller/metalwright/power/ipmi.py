# SPDX-License-Identifier: GPL-3.0-or-later
"""IPMI 2.0 over LAN (lanplus), by pyghmi, each call in a process of its own (see ``child`` for the reason)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from metalwright.power import child
from metalwright.power.driver import DEFAULT_TIMEOUT, BootDevice, Firmware, Parameters, PowerError, PowerState

SCRIPT = Path(__file__).with_name("ipmi_call.py")

HINTS = {
    "bmc_unreachable": "Check the address, that UDP port {port} is open from the controller, and that IPMI over LAN is enabled.",
    "bmc_auth_failed": "Check user name and password, and that the user may use IPMI 2.0 over LAN as operator or administrator.",
    "power_refused": "Look at the BMC's own event log, then try again.",
}


class IpmiParameters(Parameters):
    """How to reach one BMC. IPMI 2.0 limits user names to 16 bytes and passwords to 20."""

    address: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._:%-]+$", description="Host name or IP address of the BMC.")
    port: int = Field(623, ge=1, le=65535, description="UDP port.")
    username: str = Field(max_length=16, description="User of the BMC.")
    password: SecretStr = Field(description="Password of the user.")
    privilege_level: Literal["operator", "administrator"] | None = Field(
        None, description="Privilege asked for; none: administrator, and operator if that is refused."
    )

    @field_validator("password")
    @classmethod
    def _fits_the_protocol(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value().encode()) > 20:
            raise ValueError("IPMI passwords have 20 bytes at most")
        return value


class IpmiDriver:
    """A BMC that speaks IPMI 2.0."""

    name: ClassVar[str] = "ipmi"
    Parameters: ClassVar[type[IpmiParameters]] = IpmiParameters

    def __init__(self, parameters: IpmiParameters, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.parameters = parameters
        self.timeout = timeout

    def query(self) -> PowerState:
        """Ask for the chassis status."""
        return PowerState(self._call("query"))

    def on(self) -> None:
        """Turn on and wait until the BMC says so."""
        self._call("power", wanted="on")

    def off(self, *, soft: bool = False) -> None:
        """Turn off and wait until the BMC says so; ``soft`` only presses the button (ACPI)."""
        self._call("power", wanted="soft" if soft else "off")

    def cycle(self) -> None:
        """Reset a running machine, turn on another."""
        self._call("power", wanted="cycle")

    def boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        """Set the boot flags (parameter 5) for the next start, with the EFI bit for UEFI machines."""
        self._call("boot", device="network" if device == "network" else "hd", uefi=firmware == "uefi")

    def _call(self, name: str, **arguments: Any) -> Any:
        mine = self.parameters
        request = {
            **mine.model_dump(exclude={"password"}),
            "password": mine.password.get_secret_value(),
            "call": name,
            **arguments,
        }
        try:
            return child.call(SCRIPT, request, self.timeout)
        except child.CallFailed as error:
            raise PowerError(
                error.code,
                f"BMC {mine.address}: {error.reason}.",
                HINTS[error.code].format(port=mine.port),
                address=mine.address,
                port=mine.port,
                call=name,
            ) from None
