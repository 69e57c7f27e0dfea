# SPDX-License-Identifier: GPL-3.0-or-later
"""Redfish (DMTF DSP0266), by sushy, which knows the peculiarities of vendors."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from metalwright.power.driver import Found, Parameters
from metalwright.power.remote import RemoteDriver, Verify, probed


class RedfishService(Parameters):
    """How to reach one Redfish service."""

    address: str = Field(min_length=1, max_length=512, description="https:// URL, host name or IP address of the BMC.")
    username: str = Field(min_length=1, max_length=255, description="User of the BMC.")
    password: SecretStr = Field(description="Password of the user.")
    auth: Literal["auto", "session", "basic"] = Field(
        "auto", description="How to log in: by a session, by HTTP Basic, or by a session and Basic where there are none."
    )
    verify: Verify = True

    @field_validator("address")
    @classmethod
    def _is_a_server(cls, value: str) -> str:
        return server_of(value if "://" in value else f"https://{value}")


class RedfishParameters(RedfishService):
    """Which system of which service."""

    system: str | None = Field(None, max_length=255, description="Id of the system; none: the only one there.")


def server_of(url: str) -> str:
    """The URL of a server without a path; raises ``ValueError`` for what is none, or holds more."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no http or https URL, host name or IP address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user name and password do not belong into the URL: it is shown to everybody")
    if parts.path.strip("/") not in ("", "redfish", "redfish/v1") or parts.query or parts.fragment:
        raise ValueError("is the URL of the BMC, without a path")
    if parts.port == 0:
        raise ValueError("has no port that could be reached")
    return f"{parts.scheme}://{parts.netloc.lower()}"


class RedfishDriver(RemoteDriver):
    """A system of a Redfish service."""

    name: ClassVar[str] = "redfish"
    Parameters: ClassVar[type[RedfishParameters]] = RedfishParameters
    Service: ClassVar[type[RedfishService]] = RedfishService
    hints = {
        "bmc_unreachable": "Check the address, that its port is open from the controller, and that Redfish is enabled in "
        "the BMC.",
        "bmc_auth_failed": "Check user name and password, and that the user may control power.",
        "power_refused": "Does its user have the right (operator at least)? Look at the BMC's own event log, then try again.",
        "power_misconfigured": "Mend the power parameters. A certificate of your own is verified with verify=PATH of its "
        "authority's, or not at all with verify=false.",
    }

    @classmethod
    def probe(cls, service: RedfishService, timeout: float) -> list[Found]:
        """All systems of the service."""
        return probed(cls(service, timeout))

    def lane(self) -> str | None:
        """The BMC, whichever protocol it is asked by."""
        address: str = self.parameters.address
        return urlsplit(address).hostname

    def target(self) -> dict[str, Any]:
        """URL and system."""
        return {"address": self.parameters.address, "system": getattr(self.parameters, "system", None)}

    def described(self) -> str:
        """The BMC by its URL, and the system if it is named."""
        system = getattr(self.parameters, "system", None)
        return f"BMC {self.parameters.address}" + (f", system {system}" if system else "")
