# SPDX-License-Identifier: GPL-3.0-or-later
"""IPMI 2.0 over LAN (lanplus), by pyghmi."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from metalwright.power.driver import Parameters
from metalwright.power.remote import RemoteDriver


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


class IpmiDriver(RemoteDriver):
    """A BMC that speaks IPMI 2.0."""

    name: ClassVar[str] = "ipmi"
    Parameters: ClassVar[type[IpmiParameters]] = IpmiParameters
    hints = {
        "bmc_unreachable": "Check the address, that UDP port {port} is open from the controller, and that IPMI over LAN is "
        "enabled.",
        "bmc_auth_failed": "Check user name and password, and that the user may use IPMI 2.0 over LAN as operator or "
        "administrator.",
        "power_refused": "Does its user have the right (operator at least)? Look at the BMC's own event log, then try again.",
    }

    def lane(self) -> str:
        """The BMC, whichever protocol it is asked by."""
        address: str = self.parameters.address
        return address.lower()

    def target(self) -> dict[str, Any]:
        """Address and port."""
        return {"address": self.parameters.address, "port": self.parameters.port}

    def described(self) -> str:
        """The BMC by its address."""
        return f"BMC {self.parameters.address}"
