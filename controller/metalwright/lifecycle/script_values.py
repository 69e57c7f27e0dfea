# SPDX-License-Identifier: GPL-3.0-or-later
"""The types that parameters of scripts have, and how a value becomes the text a script finds in its environment.

Sizes arrive there in bytes and durations in seconds, so that a script never reads a unit; flags are ``true`` or ``false``, which
are commands of a shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from metalwright.lifecycle.facts import UNITS, Kind

Value = str | int | float | bool
"""A value as YAML and JSON know it."""

Type = Literal["string", "int", "bool", "size", "duration"]
"""``string`` one line of 1,024 characters at most; ``int`` 64 bits; ``size`` 10GiB; ``duration`` 90, 90s, 10m, 2h or 1d."""

LONGEST_TEXT = 1024
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,15}) ?([A-Za-z]*)")
_LARGEST = (1 << 63) - 1


def text(kind: Type, value: Value) -> str:
    """The value as a script is given it. Raises ``ValueError`` that says what it must be."""
    return _TEXTS[kind](value)


def seconds(value: Value) -> int:
    """A duration: a number of seconds, or a number with ``s``, ``m``, ``h`` or ``d``. Raises ``ValueError``."""
    found = _AMOUNT.fullmatch(str(value)) if not isinstance(value, bool | float) else None
    if found is None or found[2] not in _SECONDS:
        raise ValueError("must be a duration: seconds, or a number with s, m, h or d, for example 10m")
    return int(found[1]) * _SECONDS[found[2]]


def _string(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text: put it in quotes")  # noqa: TRY004 - a value out of range, not a wrong call
    if len(value) > LONGEST_TEXT or not value.isprintable():
        raise ValueError(f"must be one line of {LONGEST_TEXT} printable characters at most")
    return value


def _int(value: Value) -> str:
    if isinstance(value, bool | float) or not re.fullmatch(r"-?[0-9]{1,19}", str(value)) or abs(int(value)) > _LARGEST:
        raise ValueError("must be a whole number")
    return str(int(value))


def _bool(value: Value) -> str:
    if str(value).lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return str(value).lower()


def _size(value: Value) -> str:
    found = _AMOUNT.fullmatch(str(value)) if not isinstance(value, bool | float) else None
    units = {unit.lower(): factor for unit, factor in UNITS[Kind.SIZE].items()}
    factor = units.get(found[2].lower() or "b") if found else None
    if found is None or factor is None:
        raise ValueError(f"must be a size: bytes, or a number with {', '.join(UNITS[Kind.SIZE])}, for example 10GiB")
    return str(int(found[1]) * factor)


_TEXTS: dict[Type, Callable[[Value], str]] = {
    "string": _string,
    "int": _int,
    "bool": _bool,
    "size": _size,
    "duration": lambda value: str(seconds(value)),
}
