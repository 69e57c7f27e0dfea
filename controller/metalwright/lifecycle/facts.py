# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that expressions know, and a machine as the facts they stand for.

Facts are one flat dictionary by these names: ``{"memory": 68719476736, "cpu.model": "AMD EPYC 7763", "disk": [{"size": ..}]}``.
Sizes are bytes, rates bit/s, clocks Hz. What a machine does not tell is missing or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from metalwright.store.models import Machine


class Kind(Enum):
    """What a name stands for; it decides which operators and values fit."""

    TEXT = "text"
    FLAG = "flag"
    COUNT = "number"
    SIZE = "size"
    RATE = "rate"
    CLOCK = "clock rate"


UNITS: dict[Kind, dict[str, int]] = {
    Kind.SIZE: {
        **{unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB", "PB"))},
        **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), start=1)},
    },
    Kind.RATE: {"Kbps": 1000, "Mbps": 1000**2, "Gbps": 1000**3},
    Kind.CLOCK: {"MHz": 1000**2, "GHz": 1000**3},
    Kind.COUNT: {},
}
"""Units by kind; a kind with units takes no bare number, because nobody knows what it would mean."""

ELEMENTS: dict[str, dict[str, Kind]] = {
    "disk": {
        "name": Kind.TEXT,
        "path": Kind.TEXT,
        "id": Kind.TEXT,
        "serial": Kind.TEXT,
        "wwn": Kind.TEXT,
        "model": Kind.TEXT,
        "size": Kind.SIZE,
        "rotational": Kind.FLAG,
        "transport": Kind.TEXT,
        "removable": Kind.FLAG,
    },
    "nic": {
        "name": Kind.TEXT,
        "mac": Kind.TEXT,
        "driver": Kind.TEXT,
        "vendor": Kind.TEXT,
        "pci_id": Kind.TEXT,
        "pci": Kind.TEXT,
        "speed": Kind.RATE,
        "link": Kind.FLAG,
        "lldp.chassis": Kind.TEXT,
        "lldp.port": Kind.TEXT,
        "lldp.system": Kind.TEXT,
    },
}
"""The lists, and what each element has."""

NAMES: dict[str, Kind] = {
    "name": Kind.TEXT,
    "tag": Kind.TEXT,
    "pool": Kind.TEXT,
    "zone": Kind.TEXT,
    "rack": Kind.TEXT,
    "arch": Kind.TEXT,
    "power.driver": Kind.TEXT,
    "system.vendor": Kind.TEXT,
    "system.product": Kind.TEXT,
    "system.serial": Kind.TEXT,
    "system.sku": Kind.TEXT,
    "system.uuid": Kind.TEXT,
    "chassis": Kind.TEXT,
    "chassis.vendor": Kind.TEXT,
    "chassis.type": Kind.TEXT,
    "chassis.asset_tag": Kind.TEXT,
    "firmware": Kind.TEXT,
    "firmware.vendor": Kind.TEXT,
    "firmware.version": Kind.TEXT,
    "firmware.date": Kind.TEXT,
    "firmware.secure_boot": Kind.FLAG,
    "bmc": Kind.FLAG,
    "bmc.address": Kind.TEXT,
    "bmc.mac": Kind.TEXT,
    "cpu.model": Kind.TEXT,
    "cpu.sockets": Kind.COUNT,
    "cpu.cores": Kind.COUNT,
    "cpu.threads": Kind.COUNT,
    "cpu.clock": Kind.CLOCK,
    "memory": Kind.SIZE,
    **{f"{part}.{name}": kind for part, names in ELEMENTS.items() for name, kind in names.items()},
}
"""Every name outside ``any(..)`` and its like. ``tag`` is a list of texts."""

_PCI_VENDORS = {
    "1022": "AMD",
    "1077": "QLogic",
    "10b7": "3Com",
    "10de": "NVIDIA",
    "10df": "Emulex",
    "10ec": "Realtek",
    "1137": "Cisco",
    "1186": "D-Link",
    "11ab": "Marvell",
    "1425": "Chelsio",
    "14e4": "Broadcom",
    "15ad": "VMware",
    "15b3": "Mellanox",
    "177d": "Cavium",
    "17aa": "Lenovo",
    "1924": "Solarflare",
    "1969": "Qualcomm Atheros",
    "19e5": "Huawei",
    "19ee": "Netronome",
    "1ab8": "Parallels",
    "1ae0": "Google",
    "1af4": "Red Hat virtio",
    "1d0f": "Amazon",
    "1d6a": "Aquantia",
    "1dd8": "Pensando",
    "1414": "Microsoft",
    "8086": "Intel",
}
"""Makers of network cards by their PCI identifier, as the PCI SIG gave it; ``nic.pci_id`` speaks of all the others."""


def facts(machine: Machine) -> dict[str, Any]:
    """A machine as expressions see it: its row, and the inventory it sent last (none: only the row)."""
    hardware: Mapping[str, Any] = machine.hardware or {}
    boot = machine.boot_interface
    found: dict[str, Any] = {
        "name": machine.name,
        "tag": list(machine.tags),
        "pool": machine.pool,
        "zone": machine.zone,
        "rack": boot.subnet.rack if boot and boot.subnet else None,
        "arch": machine.arch,
        "firmware": machine.firmware,
        "power.driver": machine.power_driver,
        "bmc": bool(hardware.get("bmc")),
        "chassis": _part(hardware, "chassis").get("serial"),
        "memory": _part(hardware, "memory").get("bytes"),
        "cpu.clock": _times(_part(hardware, "cpu").get("mhz"), 1000**2),
        "disk": [{**disk, "size": disk.get("size_bytes")} for disk in _list(hardware, "disks")],
        "nic": [_nic(nic) for nic in _list(hardware, "nics")],
    }
    for name in NAMES:
        part, _, field = name.partition(".")
        if name not in found and part not in ELEMENTS:
            found[name] = _part(hardware, part).get(field)
    return found


def _nic(nic: Mapping[str, Any]) -> dict[str, Any]:
    lldp = _part(nic, "lldp")
    speed = nic.get("speed_mbps")
    return {
        **nic,
        **{f"lldp.{field}": lldp.get(field) for field in ("chassis", "port", "system")},
        "vendor": _PCI_VENDORS.get(str(nic.get("pci_id") or "")[:4], ""),
        "speed": _times(speed, 1000**2) if speed is not None and speed > 0 else None,  # -1: the driver does not know
    }


def _times(value: float | None, factor: int) -> float | None:
    return value * factor if value is not None else None


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return of.get(name) or {}


def _list(of: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return of.get(name) or []
