# SPDX-License-Identifier: GPL-3.0-or-later
"""Power drivers by name: the one place that knows which there are.

``create("ipmi", {"address": "10.0.0.5", ...}).on()`` is all that a caller writes. Drivers are imported when they are first
looked up, and the libraries they need by the processes that their calls run in, so that a controller without libvirt starts and
runs its other machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ValidationError

from metalwright.errors import Invalid
from metalwright.power.description import is_secret
from metalwright.power.driver import DEFAULT_TIMEOUT, Found, PowerDriver, PowerError, PowerState

__all__ = ["Found", "PowerDriver", "PowerError", "PowerState", "create", "drivers", "lane", "probe", "redact", "wrong_parameters"]

REDACTED = "********"
LANE = 255
"""Characters of the name of a lane at most."""


class _Drivers(Mapping[str, type[PowerDriver]]):
    """Driver classes by name, each imported when it is first looked up."""

    _places = {
        "ipmi": "metalwright.power.ipmi:IpmiDriver",
        "libvirt": "metalwright.power.libvirt:LibvirtDriver",
        "manual": "metalwright.power.manual:ManualDriver",
        "redfish": "metalwright.power.redfish:RedfishDriver",
        "webhook": "metalwright.power.webhook:WebhookDriver",
        "wol": "metalwright.power.wol:WolDriver",
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
    return driver(_checked(name, driver.Parameters, parameters), timeout)


def probe(name: str, service: Mapping[str, Any], timeout: float) -> list[Found]:
    """Find all machines behind the address that ``service`` tells.

    Raises ``Invalid`` (``power_misconfigured``, ``no_probe``: the driver can not) and ``PowerError``.
    """
    driver: Any = _driver(name)
    if not hasattr(driver, "probe"):
        able = ", ".join(each for each, kind in _DRIVERS.items() if hasattr(kind, "probe"))
        raise Invalid("no_probe", f"The power driver {name} has one machine at an address.", f"Those with more: {able}.")
    found: list[Found] = driver.probe(_checked(name, driver.Service, service), timeout)
    return found


def lane(name: str, parameters: Mapping[str, Any]) -> str | None:
    """What the calls of a machine share with those of others; None: nothing. Raises as ``create``."""
    found = create(name, parameters).lane()
    return found[:LANE] if found else None


def wrong_parameters(name: str, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is missing or wrong: name of the parameter, and why; never its value. Raises ``Invalid`` for an unknown driver."""
    try:
        _driver(name).Parameters.model_validate(dict(parameters))
    except ValidationError as error:
        return _wrong(error)
    return []


def redact(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``parameters`` with every secret that is set replaced by asterisks, for showing to people."""
    fields = _driver(name).Parameters.model_fields
    return {
        key: REDACTED if value and (key not in fields or is_secret(fields[key])) else value for key, value in parameters.items()
    }


def _checked(name: str, model: type[BaseModel], parameters: Mapping[str, Any]) -> BaseModel:
    try:
        return model.model_validate(dict(parameters))
    except ValidationError as error:
        wrong = _wrong(error)
        known = ", ".join(model.model_fields) or "none"
        raise Invalid(
            "power_misconfigured",
            f"The parameters of power driver {name} are wrong: {'; '.join(f'{where}: {why}' for where, why in wrong)}",
            f"The parameters of {name} are: {known}.",
            parameters=[where for where, _ in wrong if where != "parameters"],
        ) from None


def _wrong(error: ValidationError) -> list[tuple[str, str]]:
    """Of a union's branches only the parameter is told, not the branch."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [(str(each["loc"][0]) if each["loc"] else "parameters", each["msg"]) for each in found]


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
