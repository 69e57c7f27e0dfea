# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP options as Kea's configuration has them.

Kea 2.2 has no type for many options that are registered, and its text form needs escapes; the bytes are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metalwright.network import options
from metalwright.network.engines.option_bytes import encoded, ntp_6
from metalwright.network.model import Network, NetworkState, Option


def rendered(chosen: Iterable[Option]) -> list[dict[str, Any]]:
    """``option-data`` of options that people have set."""
    values = {option.code: encoded(options.find(option.family, option.code).type, option.value) for option in chosen}
    return [_data(code, value) for code, value in sorted(values.items())]


def of_network(network: Network, state: NetworkState, ours: str | None) -> list[dict[str, Any]]:
    """``option-data`` of a subnet: its fields, and the options set for it. ``ours`` answers names where it says no servers."""
    family = network.family
    domain = network.domain or state.default_domain
    told: dict[int, tuple[str, str]] = {}
    servers = _of_family(network, network.dns_servers) or ((ours,) if ours else ())
    times = _of_family(network, network.ntp_servers)
    if family == 4:
        told[3] = "address", network.gateway or ""
        told[6] = "addresses", ",".join(servers)
        told[15] = "text", domain
        told[26] = "u16", str(network.mtu or "")
        told[42] = "addresses", ",".join(times)
        told[119] = "names", ",".join(network.search)
    else:
        told[23] = "addresses", ",".join(servers)
        told[24] = "names", ",".join(network.search or (domain,))
        told[31] = "addresses", ",".join(times)
    data = [_data(code, encoded(kind, text)) for code, (kind, text) in told.items() if text]
    if family == 6 and times:
        data.append(_data(56, ntp_6(times)))
    return data + rendered(network.options)


def _of_family(network: Network, addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(address for address in addresses if (":" in address) == (network.family == 6))


def _data(code: int, value: bytes) -> dict[str, Any]:
    return {"code": code, "csv-format": False, "data": value.hex()}
