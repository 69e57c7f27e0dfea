# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine is made of: ``inventory.schema.json`` in this directory, explained in docs/reference/inventory.md."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from .abort import Abort
from .children import run
from .disks import Disk, list_disks
from .errors import CommandFailed
from .identity import firmware_type, mac_address, physical_nics
from .lldp import neighbours
from .smbios import Smbios

SCHEMA = 1
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # Debian's names, as everywhere else in the product
_DISK_FIELDS = ("name", "path", "id", "serial", "wwn", "model", "size_bytes", "rotational", "transport", "removable")
_SECURE_BOOT = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_BMC_CHANNELS = ("1", "2", "8")  # where vendors put the LAN channel, the usual one first


def collect(abort: Abort, sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> dict[str, Any]:
    """Return the inventory. Parts the machine does not tell are empty strings, 0 or null; it never fails for them."""
    smbios = Smbios(sys)
    return {
        "schema": SCHEMA,
        "system": {
            "vendor": smbios.text("sys_vendor"),
            "product": smbios.text("product_name"),
            "serial": smbios.text("product_serial"),
            "uuid": smbios.uuid(),
            "sku": smbios.text("product_sku"),
        },
        "firmware": {
            "type": firmware_type(sys),
            "vendor": smbios.text("bios_vendor"),
            "version": smbios.text("bios_version"),
            "date": smbios.text("bios_date"),
            "secure_boot": _secure_boot(sys),
        },
        "bmc": _bmc(abort) if smbios.has_bmc() else None,
        "chassis": {
            "vendor": smbios.text("chassis_vendor"),
            "type": smbios.chassis_type(),
            "serial": smbios.text("chassis_serial"),
            "asset_tag": smbios.text("chassis_asset_tag"),
        },
        "cpu": _cpu(sys, proc),
        "memory": {"bytes": smbios.memory_bytes() or _kernel_memory(proc)},
        "disks": [_disk(disk) for disk in list_disks(sys)],
        "nics": _nics(abort, sys, proc),
    }


def _disk(disk: Disk) -> dict[str, Any]:
    return {name: getattr(disk, name) for name in _DISK_FIELDS}


def _secure_boot(sys: Path) -> bool:
    try:
        return (sys / _SECURE_BOOT).read_bytes()[-1:] == b"\1"  # four bytes of attributes, then the value
    except OSError:
        return False


def _cpu(sys: Path, proc: Path) -> dict[str, Any]:
    info = _cpu_info(proc)
    topologies = list((sys / "devices/system/cpu").glob("cpu[0-9]*/topology"))
    cores = {(_read(path / "physical_package_id"), _read(path / "core_id")) for path in topologies}
    machine = os.uname().machine
    return {
        "model": info.get("model name", ""),
        "arch": _ARCHITECTURES.get(machine, machine),
        "sockets": len({package for package, _ in cores}) or 1,
        "cores": len(cores) or 1,
        "threads": len(topologies) or os.cpu_count() or 1,
        "mhz": _mhz(sys, info),
    }


def _mhz(sys: Path, info: dict[str, str]) -> int:
    """Return the highest clock rate; where the kernel does not tell (virtual machines), the present one; 0 for none."""
    highest = _read(sys / "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    if highest.isdigit():
        return int(highest) // 1000
    try:
        return int(float(info.get("cpu MHz", "0")))
    except ValueError:
        return 0


def _cpu_info(proc: Path) -> dict[str, str]:
    """Return /proc/cpuinfo of the first processor."""
    first, _, _ = _read(proc / "cpuinfo").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _kernel_memory(proc: Path) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read(proc / "meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _nics(abort: Abort, sys: Path, proc: Path) -> list[dict[str, Any]]:
    paths = physical_nics(sys)
    linked = [path.name for path in paths if _read(path / "carrier") == "1"]
    virtual = "hypervisor" in _cpu_info(proc).get("flags", "").split()  # no switch speaks to a virtual machine
    heard = neighbours(linked, abort, wait=not virtual)
    return [
        {
            "name": path.name,
            "mac": mac_address(path),
            "driver": (path / "device/driver").resolve().name if (path / "device/driver").exists() else "",
            "speed_mbps": _speed(path),
            "link": path.name in linked,
            **_pci(path),
            "lldp": heard.get(path.name),
        }
        for path in paths
    ]


def _pci(nic: Path) -> dict[str, str]:
    """Return the address of the card, and its makers' and device's number as ``15b3:1017``; empty for other buses."""
    card = next((path for path in nic.resolve().parents if _PCI_ADDRESS.fullmatch(path.name)), None)
    if card is None:
        return {"pci": "", "pci_id": ""}
    numbers = [_read(card / name).removeprefix("0x") for name in ("vendor", "device")]
    return {"pci": card.name, "pci_id": ":".join(numbers) if all(numbers) else ""}


def _speed(nic: Path) -> int | None:
    speed = _read(nic / "speed")  # -1 or an error where there is no link or no such thing as a speed
    return int(speed) if speed.isdigit() else None


def _bmc(abort: Abort) -> dict[str, str] | None:
    """Ask the BMC for its own address over the system interface (IPMI 2.0, 23.2)."""
    for channel in _BMC_CHANNELS:
        try:
            text = run(["ipmitool", "lan", "print", channel], abort, timeout=15)
        except CommandFailed:
            continue
        pairs = (line.partition(" : ") for line in text.splitlines())
        fields = {name.strip(): value.strip() for name, _, value in pairs}
        address = fields.get("IP Address", "")
        if address and address != "0.0.0.0":  # noqa: S104 - what an unused channel says, not an address to bind
            return {"address": address, "mac": fields.get("MAC Address", "").lower()}
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
