# SPDX-License-Identifier: GPL-3.0-or-later
"""Network boot as Kea's client classes. docs/reference/network-boot.md tells the rules that they follow, and their sources."""

from __future__ import annotations

from typing import Any

from metalwright.config import Settings
from metalwright.network.engines.boot import FIRMWARE, LOADERS, tftp_server

_IPXE = "option[77].hex == 'iPXE' or option[175].exists"
_HTTP = "substring(option[60].hex, 0, 10) == 'HTTPClient'"


def boot(settings: Settings) -> list[dict[str, Any]]:
    """The classes of DHCPv4 clients that boot from the network: at most one that has a boot file holds for a client.

    The boot file is in the BOOTP field and in option 67, whether asked for or not; ``next-server`` is that of the subnet. Kea
    evaluates all of a test for every packet, so each question is asked once, in a class of its own.
    """
    url = settings.node.url.rstrip("/")
    start = _class("ipxe", _IPXE, f"{url}/boot/start.ipxe")
    start["option-data"].append(_always(175, "b00101", csv=False))  # no-pxedhcp: do not wait for a proxy that is not there
    classes: list[dict[str, Any]] = [start, {"name": "http", "test": _HTTP}]
    for firmware, loader in LOADERS.items():
        architectures = " or ".join(f"option[93].hex == 0x{code:04x}" for code, name in FIRMWARE.items() if name == firmware)
        classes.append({"name": firmware, "test": f"not member('ipxe') and ({architectures})"})
        over_http = _class(f"{firmware}-http", f"member('{firmware}') and member('http')", f"{url}/boot/loaders/{loader}")
        over_http["option-data"].append(_always(60, "HTTPClient"))
        classes.append(over_http)
        if settings.tftp.listen:
            over_tftp = _class(f"{firmware}-tftp", f"member('{firmware}') and not member('http')", loader)
            over_tftp["option-data"].append(_always(66, tftp_server(settings)))
            classes.append(over_tftp)
    return classes


def _class(name: str, test: str, file: str) -> dict[str, Any]:
    return {"name": name, "test": test, "boot-file-name": file, "option-data": [_always(67, file)]}


def _always(code: int, data: str, *, csv: bool = True) -> dict[str, Any]:
    return {"code": code, "data": data.replace(",", "\\,") if csv else data, "csv-format": csv, "always-send": True}
