# SPDX-License-Identifier: GPL-3.0-or-later
"""One libvirt conversation, run as a process of its own by ``child.call``; imports nothing of ours.

Reads ``{"uri", "domain", "timeout", "call", ...}`` from standard input, calls as in ``ipmi_call``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

# Codes that mean "we came through, and were not let in" (virterror.h).
AUTHENTICATION = {libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_CANCELLED, libvirt.VIR_ERR_AUTH_UNAVAILABLE}


class Failed(Exception):
    """An error with a code for the caller."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def main() -> None:
    """Carry out the request and print the reply."""
    request = json.load(sys.stdin)
    libvirt.registerErrorHandler(lambda *_: None, None)
    reply: dict[str, Any]
    try:
        reply = {"result": converse(request)}
    except Failed as error:
        reply = {"error": error.code, "reason": str(error)}
    except libvirt.libvirtError as error:
        reply = {"error": "power_refused", "reason": f"libvirt said: {error.get_error_message()}"}
    print(json.dumps(reply))  # noqa: T201


def converse(request: dict[str, Any]) -> Any:
    """Connect, find the domain, do the call."""
    end = time.monotonic() + request["timeout"]
    try:
        connection = libvirt.open(request["uri"])
    except libvirt.libvirtError as error:
        refused = error.get_error_code() in AUTHENTICATION or "Permission denied" in error.get_error_message()
        raise Failed("bmc_auth_failed" if refused else "bmc_unreachable", f"libvirt said: {error.get_error_message()}") from None
    try:
        domain = connection.lookupByName(request["domain"])
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        raise Failed("power_misconfigured", f"there is no domain {request['domain']!r}") from None
    return CALLS[request["call"]](connection, domain, request, end)


def query(_connection: Any, domain: Any, _request: dict[str, Any], _end: float) -> str:
    """Return the power state."""
    return "on" if domain.isActive() else "off"


def power(_connection: Any, domain: Any, request: dict[str, Any], end: float) -> str:
    """Bring about the wanted state and return it."""
    wanted, running = request["wanted"], domain.isActive()
    if wanted == "cycle":
        if running:
            domain.destroy()  # a reset would keep the boot order that it was started with
        domain.create()
    elif wanted == "on" and not running:
        domain.create()
    elif wanted == "soft" and running:
        domain.shutdown()
    elif wanted == "off" and running:
        domain.destroy()
        while domain.isActive():
            if time.monotonic() > end:
                raise Failed("power_refused", "the domain does not stop")
            time.sleep(0.2)
    return "on" if domain.isActive() else "off"


def boot(connection: Any, domain: Any, request: dict[str, Any], _end: float) -> None:
    """Put the device first in the domain's own definition. libvirt has no one-time boot: it stays first."""
    inactive = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    tree = ET.fromstring(inactive)  # noqa: S314 - the hypervisor's own description of the domain
    for system in tree.iterfind("os"):
        for entry in system.findall("boot"):
            system.remove(entry)
    kinds = ["interface", "disk"] if request["device"] == "network" else ["disk", "interface"]
    devices = [each for each in tree.iterfind("devices/*") if each.get("device", "disk") == "disk"]
    for each in devices:
        for entry in each.findall("boot"):
            each.remove(entry)
    ordered = [each for kind in kinds for each in devices if each.tag == kind]
    for place, each in enumerate(ordered, start=1):
        ET.SubElement(each, "boot", order=str(place))
    connection.defineXML(ET.tostring(tree, encoding="unicode"))


CALLS = {"query": query, "power": power, "boot": boot}

if __name__ == "__main__":
    main()
