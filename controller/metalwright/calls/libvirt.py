# SPDX-License-Identifier: GPL-3.0-or-later
"""One libvirt conversation. Calls as in ``ipmi``, and ``probe``, which answers all domains of a host."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from metalwright.calls.conversation import Failed

# Codes that mean "we came through, and were not let in" (virterror.h).
AUTHENTICATION = {libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_CANCELLED, libvirt.VIR_ERR_AUTH_UNAVAILABLE}


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def converse(request: dict[str, Any]) -> Any:
    """Connect, find the domain, do the call."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    end = time.monotonic() + request["timeout"]
    try:
        connection = libvirt.open(request["uri"])
    except libvirt.libvirtError as error:
        refused = error.get_error_code() in AUTHENTICATION or "Permission denied" in error.get_error_message()
        raise Failed("bmc_auth_failed" if refused else "bmc_unreachable", f"libvirt said: {error.get_error_message()}") from None
    try:
        if request["call"] == "probe":
            return [describe(domain) for domain in connection.listAllDomains()]
        return CALLS[request["call"]](connection, find(connection, request["domain"]), request, end)
    except libvirt.libvirtError as error:
        raise Failed("power_refused", f"libvirt said: {error.get_error_message()}") from None


def find(connection: Any, name: str) -> Any:
    """The domain of that name."""
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        raise Failed("power_misconfigured", f"there is no domain {name!r}") from None


def describe(domain: Any) -> dict[str, Any]:
    """Name, MAC addresses (the one it boots from first), architecture, firmware and own parameters of a domain."""
    tree = ET.fromstring(domain.XMLDesc(0))  # noqa: S314 - the hypervisor's own description of the domain
    cards = [each for each in tree.iterfind("devices/interface") if each.find("mac") is not None]
    cards.sort(key=_place)
    kind = tree.find("os/type")
    system = tree.find("os")
    loader = tree.find("os/loader")
    efi = (system is not None and system.get("firmware") == "efi") or (loader is not None and loader.get("type") == "pflash")
    return {
        "name": domain.name(),
        "macs": [mac.get("address") for each in cards if (mac := each.find("mac")) is not None],
        "parameters": {"domain": domain.name()},
        "arch": ARCHITECTURES.get(kind.get("arch", "") if kind is not None else ""),
        "firmware": "uefi" if efi else "bios",
    }


def _place(card: ET.Element) -> int:
    """Where it comes in the boot order; after all others if nobody says."""
    entry = card.find("boot")
    return int(entry.get("order", "99")) if entry is not None else 99


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
