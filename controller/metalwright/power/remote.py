# SPDX-License-Identifier: GPL-3.0-or-later
"""What drivers share whose calls run in a process of their own (see ``child`` for the reason)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, Field, SecretStr

from metalwright.power import child
from metalwright.power.driver import DEFAULT_TIMEOUT, BootDevice, Firmware, Found, PowerDriver, PowerError, PowerState


def _truth(value: Any) -> Any:
    """Words for true and false are taken for them: parameters often come from a command line."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value


Verify = Annotated[
    bool | str,
    BeforeValidator(_truth),
    Field(description="Verify the TLS certificate: true by the host's authorities, or the path of a file with others; or false."),
]


class RemoteDriver(PowerDriver):
    """Asks ``metalwright.calls.<name>``, and turns what went wrong there into a ``PowerError``."""

    hints: ClassVar[Mapping[str, str]]
    """What to do, by the code of the error; parameters may stand in braces."""

    def __init__(self, parameters: Any, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.parameters = parameters
        self.timeout = timeout

    def target(self) -> dict[str, Any]:
        """What the errors name, for programs: the parameters that say where."""
        raise NotImplementedError

    def described(self) -> str:
        """What the errors name, for people: ``BMC 10.0.0.5``."""
        raise NotImplementedError

    def query(self) -> PowerState:
        """Ask for the power state."""
        return PowerState(self.call("query"))

    def on(self) -> None:
        """Turn on and wait until it is."""
        self.call("power", wanted="on")

    def off(self, *, soft: bool = False) -> None:
        """Turn off and wait until it is; ``soft`` only presses the button (ACPI)."""
        self.call("power", wanted="soft" if soft else "off")

    def cycle(self) -> None:
        """Reset a running machine, turn on another."""
        self.call("power", wanted="cycle")

    def boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        """Set the device of the next start."""
        self.call("boot", device=device, uefi=firmware == "uefi")

    def request(self) -> dict[str, Any]:
        """What every call is sent: the parameters, secrets in clear."""
        return revealed(self.parameters)

    def call(self, name: str, **arguments: Any) -> Any:
        """Have a call done; raises ``PowerError``."""
        try:
            return child.call(self.name, {**self.request(), "call": name, **arguments}, self.timeout)
        except child.CallFailed as error:
            told = self.target()
            hint = self.hints.get(error.code, "").format(**told)
            raise PowerError(error.code, f"{self.described()}: {error.reason}.", hint, **told, call=name) from None


def revealed(parameters: BaseModel) -> dict[str, Any]:
    """The values of parameters, those of secrets in clear."""
    values = {name: getattr(parameters, name) for name in type(parameters).model_fields}
    return {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()}


def probed(driver: RemoteDriver) -> list[Found]:
    """What the call ``probe`` of a driver finds; ``driver`` holds the parameters that are the same for all machines."""
    given = {name: value for name, value in driver.request().items() if name in driver.parameters.model_fields_set}
    return [
        Found(
            each["name"], each["macs"], {**given, **each["parameters"]}, each["arch"], each["firmware"], each.get("problem", "")
        )
        for each in driver.call("probe")
    ]
