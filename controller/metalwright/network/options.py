# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP options that people may set: which number a name means, of which type its value is, and which are not theirs to set.

The form of a value, by the option's type; a list is written with commas and without blanks:

    address     10.0.0.1                          of the option's family
    addresses   10.0.0.1,10.0.0.2                 ``pairs``: an even number of them
    u8 u16 u32  42                                unsigned integers of so many bits; ``s32``: signed
    u16s        68,296,508
    flag        true, or false
    text        any printable ASCII
    name        lab.example.com                   a domain name; ``names``: a list
    routes      10.1.0.0/16 10.0.0.1,0.0.0.0/0 10.0.0.254
    hex         01:02:ff                          the bytes themselves
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from typing import Any, Literal

from metalwright.errors import Invalid
from metalwright.network import notation
from metalwright.network.option_numbers import DECIDED, REGISTERED, Type

Family = Literal[4, 6]
HIGHEST = {4: 254, 6: 65535}
_BITS: dict[str, tuple[int, int]] = {
    "u8": (0, 0xFF),
    "u16": (0, 0xFFFF),
    "u32": (0, 0xFFFFFFFF),
    "s32": (-(1 << 31), (1 << 31) - 1),
}
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "s32": 4, "flag": 1}
_MOST = {4: 255, 6: 1024}
"""Bytes of a value: what fits into one option of DHCPv4 (RFC 2132 section 2), and enough for one of DHCPv6."""


@dataclass(frozen=True)
class Definition:
    """An option: ``name`` is None where the number is not registered here; its value is hex then."""

    family: Family
    code: int
    name: str | None
    type: Type

    def __str__(self) -> str:
        return f"DHCPv{self.family} option {self.code}{f' ({self.name})' if self.name else ''}"


def find(family: Family, named: str | int) -> Definition:
    """The option of that number or name.

    Raises ``Invalid``: ``option_unknown``; ``option_decided`` for one that follows from something else, with what that is.
    """
    text = str(named).strip().lower()
    known = {name: code for code, (name, _) in REGISTERED[family].items()} | {
        name: code for code, (name, _) in DECIDED[family].items() if name
    }
    code = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else known.get(text)
    if code is None or not 1 <= code <= HIGHEST[family]:
        message = f"There is no DHCPv{family} option {named}."
        hint = f"Use its number, 1 to {HIGHEST[family]}, or a name that docs/reference/dhcp-options.md lists."
        raise Invalid("option_unknown", message, hint, option=named, family=family)
    if code in DECIDED[family]:
        name, instead = DECIDED[family][code]
        message = f"DHCPv{family} option {code}{f' ({name})' if name else ''} is not set by hand: the controller decides it."
        raise Invalid("option_decided", message, instead, option=named, family=family)
    if code in REGISTERED[family]:
        return Definition(family, code, *REGISTERED[family][code])
    return Definition(family, code, None, "hex")


def named(family: int, code: int) -> str | None:
    """The name of an option; None if it has none here."""
    return REGISTERED[family][code][0] if code in REGISTERED[family] else None


def canonical(option: Definition, value: Any) -> str:
    """A value as it is stored; see the form of its type above. ``value`` may be a list, number or boolean of JSON as well.

    Raises ``Invalid`` (``option_value_invalid``).
    """
    parts = [str(part).strip() for part in value] if isinstance(value, list) else _parts(option, value)
    read = _READERS[option.type]
    many = option.type in ("addresses", "pairs", "names", "u16s", "routes")
    if not parts or (len(parts) > 1 and not many):
        raise _wrong(option, value, "at least one value" if many else "one value")
    if option.type == "pairs" and len(parts) % 2:
        raise _wrong(option, value, "an even number of addresses")
    found = [read(option, part) for part in parts]
    size = sum(length for _, length in found)
    if size > _MOST[option.family]:
        raise _wrong(option, value, f"at most {_MOST[option.family]} bytes; this is {size}")
    return ",".join(text for text, _ in found)


def _parts(option: Definition, value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, int):
        return [str(value)]
    if option.type in ("text", "hex"):
        return [str(value).strip()]
    return [part.strip() for part in str(value).split(",")]


def _wrong(option: Definition, value: Any, what: str) -> Invalid:
    message = f"{option} takes {what}, not {value!r}."
    return Invalid("option_value_invalid", message, "", option=option.code, family=option.family, value=value)


def _address(option: Definition, text: str) -> tuple[str, int]:
    try:
        return str(notation.address("value", text, option.family)), 4 if option.family == 4 else 16
    except Invalid:
        raise _wrong(option, text, f"IPv{option.family} addresses") from None


def _integer(least: int, most: int, size: int, option: Definition, text: str) -> tuple[str, int]:
    if not re.fullmatch(r"-?[0-9]{1,10}", text) or not least <= int(text) <= most:
        raise _wrong(option, text, f"whole numbers from {least:,} to {most:,}")
    return str(int(text)), size


def _flag(option: Definition, text: str) -> tuple[str, int]:
    found = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}.get(text.lower())
    if found is None:
        raise _wrong(option, text, "true or false")
    return found, 1


def _text(option: Definition, text: str) -> tuple[str, int]:
    """No quotes, backslashes or commas that would need escapes, which engines write differently; URLs need none of them."""
    if not re.fullmatch(r"[ !#-+\--\[\]-~]+", text):
        raise _wrong(option, text, "printable ASCII without quotes, backslashes and commas")
    return text, len(text)


def _name(option: Definition, text: str) -> tuple[str, int]:
    try:
        name = notation.domain(text)
    except Invalid:
        name = None
    if name is None:
        raise _wrong(option, text, "domain names")
    return name, len(name) + 2


def _route(option: Definition, text: str) -> tuple[str, int]:
    """A destination and the router to it (RFC 3442: width, significant octets, router)."""
    words = text.split()
    try:
        network, router = IPv4Network(words[0]), notation.address("value", words[1], 4)
        if len(words) != 2:
            raise ValueError(text)
    except (ValueError, IndexError, Invalid):
        raise _wrong(option, text, "routes such as '10.1.0.0/16 10.0.0.1'") from None
    return f"{network} {router}", 1 + (network.prefixlen + 7) // 8 + 4


def _hex(option: Definition, text: str) -> tuple[str, int]:
    digits = re.sub(r"[: -]", "", text.lower().removeprefix("0x"))
    if not re.fullmatch(r"([0-9a-f]{2})+", digits):
        raise _wrong(option, text, "bytes in hexadecimal such as 01:02:ff")
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2)), len(digits) // 2


_READERS: dict[str, Callable[[Definition, str], tuple[str, int]]] = {
    **dict.fromkeys(("address", "addresses", "pairs"), _address),
    **{kind: partial(_integer, *_BITS[kind], _SIZES[kind]) for kind in ("u8", "u16", "u32", "s32")},
    "u16s": partial(_integer, *_BITS["u16"], _SIZES["u16"]),
    "flag": _flag,
    "text": _text,
    **dict.fromkeys(("name", "names"), _name),
    "routes": _route,
    "hex": _hex,
}
