# SPDX-License-Identifier: GPL-3.0-or-later
"""Names made from the hardware: ``r{rack}-{serial}``. Words are put in for a fixed set of variables, and that is all there is to
the language: no format, no attribute, no call. What firmware says is made fit for a label of RFC 1123 before it is put in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metalwright.errors import Invalid
from metalwright.lifecycle.deploy import Hostname
from metalwright.store.models import Machine

_PATTERN = re.compile(r"(?:[A-Za-z0-9-]|\{[a-z_]+\})+")
_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_label: TypeAdapter[str] = TypeAdapter(Hostname)


def _hardware(part: str, field: str) -> Callable[[Machine], Any]:
    return lambda machine: ((machine.hardware or {}).get(part) or {}).get(field)


def _mac(machine: Machine) -> str:
    return machine.boot_interface.mac.replace(":", "") if machine.boot_interface else ""


def _rack(machine: Machine) -> str:
    return machine.boot_interface.subnet.rack if machine.boot_interface and machine.boot_interface.subnet else ""


def _neighbour(field: str) -> Callable[[Machine], Any]:
    """What the switch at the boot interface's cable says."""

    def said(machine: Machine) -> Any:
        mac = machine.boot_interface.mac if machine.boot_interface else None
        nics = (machine.hardware or {}).get("nics") or []
        return next(((nic.get("lldp") or {}).get(field) for nic in nics if str(nic.get("mac")).lower() == mac), None)

    return said


VARIABLES: Mapping[str, Callable[[Machine], Any]] = {
    "serial": lambda machine: machine.serial,
    "asset_tag": _hardware("chassis", "asset_tag"),
    "chassis": _hardware("chassis", "serial"),
    "vendor": _hardware("system", "vendor"),
    "product": _hardware("system", "product"),
    "mac": _mac,
    "mac_end": lambda machine: _mac(machine)[-6:],
    "rack": _rack,
    "switch": _neighbour("system"),
    "port": _neighbour("port"),
    "zone": lambda machine: machine.zone,
    "pool": lambda machine: machine.pool,
    "arch": lambda machine: machine.arch,
}
"""What may stand in braces. ``serial`` is None for the placeholders that vendors leave."""


def check(pattern: str) -> str:
    """The pattern itself. Raises ``ValueError`` that names a variable there is not, or what may stand in a pattern."""
    if not _PATTERN.fullmatch(pattern):
        raise ValueError("must be letters, digits, hyphens and variables in braces, for example r{rack}-{serial}")
    unknown = [name for name in _VARIABLE.findall(pattern) if name not in VARIABLES]
    if unknown:
        raise ValueError(f"there is no variable {{{unknown[0]}}}; there are {', '.join(VARIABLES)}")
    if not _VARIABLE.search(pattern):
        raise ValueError("must hold a variable: without one all machines would get the same name")
    return pattern


def fill(pattern: str, machine: Machine) -> str:
    """The name that a pattern makes for a machine.

    Raises ``Invalid`` (``name_impossible``): a variable of it is not told by this machine, or the result is no label of RFC 1123.
    """

    def value(found: re.Match[str]) -> str:
        word = re.sub(r"[^a-z0-9]+", "-", str(VARIABLES[found[1]](machine) or "").lower()).strip("-")
        if not word:
            raise Invalid("name_impossible", f"{pattern} makes no name for {machine.name}: its {found[1]} is not known.")
        return word

    name = _VARIABLE.sub(value, pattern)
    try:
        return _label.validate_python(name)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise Invalid("name_impossible", f"{pattern} makes {name!r} of {machine.name}, but a name {why}.") from None
