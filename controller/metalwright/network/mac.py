# SPDX-License-Identifier: GPL-3.0-or-later
"""MAC addresses as requests carry them."""

from __future__ import annotations

import re
from typing import Annotated

from netaddr import EUI, AddrFormatError, mac_unix_expanded
from pydantic import AfterValidator, Field


def canonical(text: str) -> str:
    """Lower case with colons; all notations netaddr knows (IEEE 802: a group address is no interface's own)."""
    digits = re.sub(r"[^0-9A-Fa-f]", "", text)
    try:
        mac = EUI(text, version=48, dialect=mac_unix_expanded)
    except (AddrFormatError, ValueError):
        mac = None
    if mac is None or len(digits) != 12:
        raise ValueError("is no MAC address, for example 52:54:00:12:34:56")
    if mac.value >> 40 & 1 or not mac.value:
        raise ValueError("is a group address or zero, not the address of an interface")
    return str(mac)


Mac = Annotated[str, Field(max_length=32), AfterValidator(canonical)]
"""A MAC address of an interface."""
