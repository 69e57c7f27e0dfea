# SPDX-License-Identifier: GPL-3.0-or-later
"""Power drivers by name: the one place that knows which there are.

``create("ipmi", {"address": "10.0.0.5", ...}).on()`` is all that a caller writes. Drivers are imported when they are first
looked up, so that a controller without libvirt starts and runs its other machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import SecretStr, ValidationError

from metalwright.errors import Invalid
from metalwright.power.driver import DEFAULT_TIMEOUT, PowerDriver, PowerError, PowerState

__all__ = ["PowerDriver", "PowerError", "PowerState", "create", "drivers", "redact"]

REDACTED = "********"


class _Drivers(Mapping[str, type[PowerDriver]]):
    """Driver classes by name, each imported when it is first looked up."""

    _places = {
        "ipmi": "metalwright.power.ipmi:IpmiDriver",
        "libvirt": "metalwright.power.libvirt:LibvirtDriver",
        "manual": "metalwright.power.manual:ManualDriver",
    }

    def __getitem__(self, name: str) -> type[PowerDriver]:
        module, _, attribute = self._places[name].partition(":")
        driver: type[PowerDriver] = getattr(import_module(module), attribute)
        return driver

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


_DRIVERS = _Drivers()


def drivers() -> Mapping[str, type[PowerDriver]]:
    """Return the driver classes by name."""
    return _DRIVERS


def create(name: str, parameters: Mapping[str, Any], timeout: float = DEFAULT_TIMEOUT) -> PowerDriver:
    """Make the driver ``name`` for one machine.

    Raises ``Invalid("power_misconfigured")`` that names the driver or the parameter that is wrong, never its value.
    """
    driver = _driver(name)
    try:
        return driver(driver.Parameters.model_validate(dict(parameters)), timeout)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(str(part) for part in each['loc']) or 'parameters'}: {each['msg']}" for each in wrong)
        known = ", ".join(driver.Parameters.model_fields) or "none"
        raise Invalid(
            "power_misconfigured",
            f"The parameters of power driver {name} are wrong: {said}",
            f"The parameters of {name} are: {known}.",
            parameters=[str(each["loc"][0]) for each in wrong if each["loc"]],
        ) from None


def redact(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``parameters`` with every secret that is set replaced by asterisks, for showing to people."""
    fields = _driver(name).Parameters.model_fields
    return {
        key: REDACTED if value and (key not in fields or fields[key].annotation is SecretStr) else value
        for key, value in parameters.items()
    }


def _driver(name: str) -> type[PowerDriver]:
    try:
        return _DRIVERS[name]
    except KeyError:
        raise Invalid(
            "power_misconfigured",
            f"There is no power driver {name!r}.",
            f"Choose one of: {', '.join(_DRIVERS)}.",
            parameters=["driver"],
        ) from None
