# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine this is: what the controller compares with its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .smbios import Smbios

_ETHERNET = "1"  # ARPHRD_ETHER


def physical_nics(sys: Path = Path("/sys")) -> list[Path]:
    """Return the directories in /sys of the Ethernet interfaces that are hardware, in order of their names."""
    return [
        path
        for path in sorted((sys / "class/net").iterdir())
        if (path / "device").exists() and (path / "type").read_text(encoding="ascii").strip() == _ETHERNET
    ]


def mac_address(nic: Path) -> str:
    """Return an interface's address in lower case with colons."""
    return (nic / "address").read_text(encoding="ascii").strip().lower()


def firmware_type(sys: Path = Path("/sys")) -> str:
    """Return ``uefi`` or ``bios``: what this machine was booted by."""
    return "uefi" if (sys / "firmware/efi").exists() else "bios"


def identity(sys: Path = Path("/sys")) -> dict[str, Any]:
    """Return ``{"system_uuid", "serial", "macs"}``; the first two are empty when the firmware gives none worth the name."""
    smbios = Smbios(sys)
    return {
        "system_uuid": smbios.uuid(),
        "serial": smbios.text("product_serial"),
        "macs": [mac_address(nic) for nic in physical_nics(sys)],
    }
