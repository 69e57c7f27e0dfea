# SPDX-License-Identifier: GPL-3.0-or-later
"""What the firmware says about the machine: SMBIOS (DSP0134) as Linux shows it in /sys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MEMORY_DEVICE, _IPMI_DEVICE, _END = 17, 38, 127
# What vendors leave where they forgot to fill something in. Two such machines must not look like one.
_PLACEHOLDERS = {
    "", "0", "none", "n/a", "na", "null", "unknown", "default", "default string", "not specified", "not applicable",
    "not available", "empty", "invalid", "oem", "o.e.m.", "to be filled by o.e.m.", "to be filled by o.e.m",
    "system serial number", "serial number", "system manufacturer", "system product name", "system version", "sku",
    "0123456789", "123456789", "1234567890", "00000000", "0000000000", "ffffffff", "xxxxxxxx", ".", "..............",
}  # fmt: skip
_CHASSIS = (  # type 3, 7.4.1
    "other", "unknown", "desktop", "low profile desktop", "pizza box", "mini tower", "tower", "portable", "laptop", "notebook",
    "hand held", "docking station", "all in one", "sub notebook", "space-saving", "lunch box", "main server", "expansion",
    "sub chassis", "bus expansion", "peripheral", "raid", "rack mount", "sealed-case pc", "multi-system", "compact pci",
    "advanced tca", "blade", "blade enclosure", "tablet", "convertible", "detachable", "iot gateway", "embedded pc", "mini pc",
    "stick pc",
)  # fmt: skip
_NO_UUIDS = {
    "",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
}


class Smbios:
    """The fields of DMI and the raw structures; empty on a machine without (some arm64 and virtual machines)."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._dmi = sys / "class/dmi/id"
        self._table = sys / "firmware/dmi/tables/DMI"

    def text(self, name: str) -> str:
        """Return a field such as ``sys_vendor``; empty for none and for the placeholders that vendors leave."""
        try:
            value = (self._dmi / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""
        return "" if value.lower() in _PLACEHOLDERS else value

    def uuid(self) -> str:
        """Return the system's UUID in lower case; empty when it is one that many machines share."""
        value = self.text("product_uuid").lower()
        return "" if value in _NO_UUIDS else value

    def chassis_type(self) -> str:
        """Return the kind of case in words, ``rack mount`` or ``blade`` for example; empty when the firmware does not say."""
        number = self.text("chassis_type")
        name = _CHASSIS[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(_CHASSIS) else ""
        return "" if name in ("other", "unknown") else name

    def memory_bytes(self) -> int:
        """Return the size of the memory modules (type 17) together; 0 when the firmware does not say.

        That is what a machine was bought with; the kernel's MemTotal is less, so "at least 16 GiB" would miss a 16 GiB machine.
        """
        total = 0
        for kind, data in self._structures():
            if kind != _MEMORY_DEVICE or len(data) < 0x0E:
                continue
            size = int.from_bytes(data[0x0C:0x0E], "little")
            if size == 0xFFFF:  # unknown
                continue
            if size == 0x7FFF and len(data) >= 0x20:  # too large for the field: MiB in the extended one
                total += (int.from_bytes(data[0x1C:0x20], "little") & 0x7FFFFFFF) << 20
            elif size & 0x8000:  # in KiB
                total += (size & 0x7FFF) << 10
            else:
                total += size << 20
        return total

    def has_bmc(self) -> bool:
        """Return whether there is an IPMI interface (type 38)."""
        return any(kind == _IPMI_DEVICE for kind, _ in self._structures())

    def _structures(self) -> Iterator[tuple[int, bytes]]:
        try:
            table = self._table.read_bytes()
        except OSError:
            return
        at = 0
        while at + 4 <= len(table):
            kind, length = table[at], table[at + 1]
            if kind == _END or length < 4:
                return
            yield kind, table[at : at + length]
            strings_end = table.find(b"\0\0", at + length)
            if strings_end < 0:
                return
            at = strings_end + 2
