# SPDX-License-Identifier: GPL-3.0-or-later
"""Wake-on-LAN: a magic packet turns a machine on, and nothing more (AMD, "Magic Packet Technology", publication 20213)."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, NoReturn

from pydantic import Field, SecretStr, field_validator

from metalwright.power.driver import DEFAULT_TIMEOUT, BootDevice, Firmware, Parameters, PowerDriver, PowerError, PowerState

_MAC = re.compile(r"^[0-9A-Fa-f]{2}([:-]?[0-9A-Fa-f]{2}){5}$")
_PACKETS = 3
"""Nobody confirms a packet, so several are sent."""


class WolParameters(Parameters):
    """Whom to wake, and where."""

    mac: str = Field(description="MAC address of the NIC that wakes the machine.")
    broadcast: str = Field(
        "255.255.255.255",
        min_length=1,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Broadcast address of the machine's subnet, as the controller reaches it.",
    )
    port: int = Field(9, ge=1, le=65535, description="UDP port; NICs do not look at it.")
    password: SecretStr = Field(SecretStr(""), description="SecureOn password, if the NIC asks for one: six bytes, as a MAC is.")

    @field_validator("mac")
    @classmethod
    def _is_a_mac(cls, value: str) -> str:
        if not _MAC.match(value):
            raise ValueError("is no MAC address, for example 52:54:00:12:34:56")
        return value

    @field_validator("password")
    @classmethod
    def _is_six_bytes(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _MAC.match(value.get_secret_value()):
            raise ValueError("is not six bytes, written as a MAC address is")
        return value


class WolDriver(PowerDriver):
    """Turns on. What the machine boots from is not its to say: have its firmware try the network first."""

    name: ClassVar[str] = "wol"
    Parameters: ClassVar[type[WolParameters]] = WolParameters
    answers = False
    only_on = True

    def __init__(self, parameters: WolParameters, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.parameters = parameters
        self.timeout = timeout

    def query(self) -> PowerState:
        """Return UNKNOWN: a machine does not answer to magic packets."""
        return PowerState.UNKNOWN

    def on(self) -> None:
        """Send the packets. Raises ``bmc_unreachable`` when they can not leave this host."""
        with self._way() as way:
            for _ in range(_PACKETS):
                way.send(self.packet())

    def off(self, *, soft: bool = False) -> None:  # noqa: ARG002
        """Raise ``power_refused``."""
        self._refuse("can not turn it off", "Shut it down by hand, or give it another power driver.")

    def cycle(self) -> None:
        """Raise ``power_refused``."""
        self._refuse("can not start it again", "Restart it by hand, or give it another power driver.")

    def boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        """Leave it to the firmware, which has to try the network first; the boot script sends it to its disk."""

    def check(self) -> PowerState:
        """See that there is a way to the broadcast address; whether the machine would wake only waking it can tell."""
        with self._way():
            return PowerState.UNKNOWN

    def packet(self) -> bytes:
        """Six bytes of ones, the address sixteen times, and the password if there is one."""
        password = self.parameters.password.get_secret_value()
        return b"\xff" * 6 + _bytes(self.parameters.mac) * 16 + _bytes(password)

    @contextmanager
    def _way(self) -> Iterator[socket.socket]:
        """A socket that sends to the broadcast address."""
        where = self.parameters.broadcast
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
                way.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                way.connect((where, self.parameters.port))
                yield way
        except OSError as error:
            raise PowerError(
                "bmc_unreachable",
                f"Wake-on-LAN to {where}: the packet can not be sent: {error.strerror}.",
                "Give the broadcast address of a subnet that this host has a route to.",
                broadcast=where,
            ) from None

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise PowerError("power_refused", f"Wake-on-LAN wakes {self.parameters.mac}, but {what}.", hint, mac=self.parameters.mac)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(re.sub("[:-]", "", text))
