# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pretend machine is made of: a believable two-socket server, the same one for the same number and seed.

Six disks (two SATA for the system, four NVMe), five NICs (two of 10 Gbit/s with LLDP neighbours, two unused, one by USB from the
BMC). Addresses are locally administered (IEEE 802, section 8.4), so that none is a real card's.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, Literal

_MODELS = ("RX-2100", "RX-2200", "SR-650")
_CPUS = (("Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz", 32, 64), ("AMD EPYC 7302 16-Core Processor", 32, 64))
_MEMORY_GIB = (128, 192, 256, 512)
_SPACE = uuid.UUID("5d7a3d5e-31d5-4a4e-9f0d-6d7c0b0a51e0")
_IN_A_RACK = 40


@dataclass(frozen=True)
class Hardware:
    """The machine of ``number`` in the fleet of ``seed``."""

    number: int
    seed: int

    @property
    def firmware(self) -> Literal["bios", "uefi"]:
        """Every second one boots by UEFI."""
        return "uefi" if self.number % 2 else "bios"

    @property
    def uuid(self) -> str:
        """Of the system, in lower case."""
        return str(uuid.uuid5(_SPACE, f"{self.seed}/{self.number}"))

    @property
    def serial(self) -> str:
        """Of the system."""
        return f"SIM{self.seed % 1000:03d}{self.number:06d}"

    def mac(self, port: int = 0) -> str:
        """Of a NIC; port 0 is the one it boots from."""
        nic = self.number << 3 | port
        octets = (0x02, 0x5D, self.seed & 0xFF, nic >> 16 & 0xFF, nic >> 8 & 0xFF, nic & 0xFF)
        return ":".join(f"{octet:02x}" for octet in octets)

    @property
    def identity(self) -> dict[str, Any]:
        """As the agent's hello says it."""
        return {"system_uuid": self.uuid, "serial": self.serial, "macs": [self.mac(port) for port in range(5)]}

    def inventory(self) -> dict[str, Any]:
        """As docs/reference/inventory.md describes it."""
        model = _MODELS[self.number % len(_MODELS)]
        cpu, cores, threads = _CPUS[self.number // 2 % len(_CPUS)]
        vendor = "Example Computers"
        return {
            "schema": 1,
            "system": {"vendor": vendor, "product": model, "serial": self.serial, "uuid": self.uuid, "sku": f"{model}-S"},
            "firmware": {
                "type": self.firmware,
                "vendor": vendor,
                "version": "2.19.1",
                "date": "06/04/2023",
                "secure_boot": False if self.firmware == "uefi" else None,
            },
            "bmc": {"address": None, "mac": self.mac(5)},
            "chassis": {"vendor": vendor, "type": "rack mount", "serial": self.serial, "asset_tag": f"A{self.number:06d}"},
            "cpu": {"model": cpu, "arch": "amd64", "sockets": 2, "cores": cores, "threads": threads, "mhz": 3700},
            "memory": {"bytes": _MEMORY_GIB[self.number % len(_MEMORY_GIB)] << 30},
            "disks": [*(self._disk(slot, 480_103_981_056, "sata") for slot in (0, 1)),
                      *(self._disk(slot, 3_840_755_982_336, "nvme") for slot in (2, 3, 4, 5))],
            "nics": [self._nic(port) for port in range(5)],
        }  # fmt: skip

    def _disk(self, slot: int, size: int, transport: str) -> dict[str, Any]:
        digest = hashlib.sha256(f"{self.seed}/{self.number}/{slot}".encode()).hexdigest()
        name = f"nvme{slot - 2}n1" if transport == "nvme" else f"sd{'ab'[slot]}"
        wwn = f"eui.{digest[:16]}" if transport == "nvme" else f"0x5002538e{digest[:8]}"
        return {
            "name": name,
            "path": f"/dev/{name}",
            "id": f"wwn-{wwn}",
            "serial": digest[16:28].upper(),
            "wwn": wwn,
            "model": "EXAMPLE NVME 3840" if transport == "nvme" else "EXAMPLE SSD 480",
            "size_bytes": size,
            "rotational": False,
            "transport": transport,
            "removable": False,
        }

    def _nic(self, port: int) -> dict[str, Any]:
        rack, linked = self.number // _IN_A_RACK, port < 2
        neighbour = {
            "chassis": f"02:5d:ff:{port:02x}:{rack >> 8 & 0xFF:02x}:{rack & 0xFF:02x}",
            "port": f"Ethernet{self.number % _IN_A_RACK + 1}",
            "system": f"leaf-{rack + 1}-{'ab'[port % 2]}",
        }
        return {
            "name": f"eno{port + 1}" if port < 4 else "usb0",
            "mac": self.mac(port),
            "driver": "ice" if port < 4 else "cdc_ether",
            "speed_mbps": 10_000 if linked else None,
            "link": linked,
            "pci": f"0000:01:00.{port}" if port < 4 else "",
            "pci_id": "8086:1592" if port < 4 else "",
            "lldp": neighbour if linked else None,
        }

    def host_keys(self) -> list[str]:
        """Public SSH host keys of the form that sshd writes; nobody has the private ones."""
        raw = hashlib.sha256(f"key/{self.seed}/{self.number}".encode()).digest()
        blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + raw  # RFC 8709, section 4
        return [f"ssh-ed25519 {base64.b64encode(blob).decode()}"]
