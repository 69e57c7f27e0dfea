# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is made of, and where its files lie. Nothing else in the lab knows a path or makes up an address."""

from __future__ import annotations

import hashlib
import uuid
from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NAME = r"^[a-z][a-z0-9-]{0,30}$"
BMC_USER = "admin"
IMAGE = "debian/12"
NODE_PORT = 5248
PACKAGES_PORT = 3142

Setting = bool | int | str | list[str]


class Part(BaseModel):
    """Base of the parts of a lab: unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MachineSpec(Part):
    """One virtual machine. Its disk is sparse: ``disk_gib`` is what the machine sees, not what the host loses."""

    name: str = Field(pattern=NAME)
    firmware: Literal["bios", "uefi"] = "bios"
    cpus: int = Field(1, ge=1, le=64, description="More cost dearly where they are emulated and have to share the host's.")
    memory_mib: int = Field(2048, ge=512)
    disk_gib: int = Field(8, ge=1)
    disk_first: bool = Field(False, description="Disk before network in the boot order; one-time network boot still works.")
    nics: int = Field(1, ge=1, le=8, description="Network cards, all on the rack's bridge; the first is the one it boots from.")


class VlanSpec(Part):
    """A tagged VLAN on the rack's bridge. The first address of ``subnet`` is the lab's own; the controller is told nothing."""

    vid: int = Field(ge=1, le=4094)
    subnet: IPv4Network

    @property
    def address(self) -> str:
        """The lab's own address on it, with the prefix."""
        return f"{self.subnet[1]}/{self.subnet.prefixlen}"


def _three_machines() -> tuple[MachineSpec, ...]:
    return (
        MachineSpec(name="node-1"),
        MachineSpec(name="node-2"),
        MachineSpec(name="node-3", firmware="uefi"),
    )


class LabSpec(Part):
    """A lab. ``port`` is the admin API's, on the loopback of the host and of the lab."""

    name: str = Field("lab", pattern=NAME)
    machines: tuple[MachineSpec, ...] = Field(default_factory=_three_machines, min_length=1, max_length=100)
    subnet: IPv4Network = IPv4Network("10.77.0.0/24")
    bmc_subnet: IPv4Network = IPv4Network("10.77.1.0/24")
    vlans: tuple[VlanSpec, ...] = Field((), max_length=16)
    port: int = Field(5240, ge=1, le=65535)
    settings: dict[str, Setting | dict[str, Setting]] = Field(
        default_factory=dict, description="Settings of the controller, by section, in place of the lab's own."
    )

    @field_validator("subnet", "bmc_subnet")
    @classmethod
    def _large_enough(cls, value: IPv4Network) -> IPv4Network:
        if value.prefixlen > 24:
            raise ValueError("must be a /24 or larger")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> LabSpec:
        names = [machine.name for machine in self.machines]
        if len(set(names)) != len(names):
            raise ValueError("two machines have the same name")
        if len({vlan.vid for vlan in self.vlans}) != len(self.vlans):
            raise ValueError("two VLANs have the same vid")
        networks = {"subnet": self.subnet, "bmc_subnet": self.bmc_subnet}
        networks |= {f"that of VLAN {vlan.vid}": vlan.subnet for vlan in self.vlans}
        for (one, network), (other, its) in combinations(networks.items(), 2):
            if network.overlaps(its):
                raise ValueError(f"{one} and {other} overlap")
        return self

    @property
    def namespace(self) -> str:
        """Name of the network namespace."""
        return f"metalwright-{self.name}"

    @property
    def gateway(self) -> str:
        """Address of the controller in the machines' subnet."""
        return str(self.subnet[1])

    @property
    def enter(self) -> str:
        """Return the command by which a user gets in."""
        return "metalwright lab exec" + ("" if self.name == "lab" else f" --name {self.name}")

    @property
    def url(self) -> str:
        """URL of the admin API, the same on the host and inside the lab."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def static_range(self) -> tuple[str, str]:
        """First and last address for machines."""
        return str(self.subnet[10]), str(self.subnet[89])

    @property
    def dynamic_range(self) -> tuple[str, str]:
        """First and last address for whoever asks."""
        return str(self.subnet[100]), str(self.subnet[149])

    def machine(self, name: str) -> MachineSpec:
        """Return the machine of that name; ``KeyError`` if there is none."""
        return self.machines[self.index(name)]

    def index(self, name: str) -> int:
        """Return the machine's place in the rack; ``KeyError`` if there is none."""
        for place, machine in enumerate(self.machines):
            if machine.name == name:
                return place
        raise KeyError(name)

    def bmc_address(self, name: str) -> str:
        """Return the address of the machine's BMC."""
        return str(self.bmc_subnet[11 + self.index(name)])

    def macs(self, name: str) -> list[str]:
        """Return the MACs of all cards of the machine, the one it boots from first."""
        return [self.mac(name, card) for card in range(self.machine(name).nics)]

    def mac(self, name: str, card: int = 0) -> str:
        """Return the MAC of a machine's card: QEMU's prefix, then what lab and name hash to, so that it stays the same."""
        digest = hashlib.sha256(f"{self.name}/{name}{f'/{card}' if card else ''}".encode()).digest()
        return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])

    def uuid(self, name: str) -> str:
        """Return the machine's DMI UUID, which stays the same too."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"metalwright:lab:{self.name}/{name}"))


class Places:
    """The files of one lab, all below ``root``, and the caches that labs leave to the next."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root = root
        self.cache = cache

    @classmethod
    def of(cls, name: str) -> Places:
        """Return the usual places of the lab ``name``."""
        home = Path.home()
        return cls(home / ".local/share/metalwright/lab" / name, home / ".cache/metalwright")

    @property
    def spec(self) -> Path:
        """The lab's description (JSON of ``LabSpec``); a directory without it is not a lab."""
        return self.root / "lab.json"

    @property
    def socket(self) -> Path:
        """The rack daemon's control socket."""
        return self.root / "rack.sock"

    @property
    def pid(self) -> Path:
        """The rack daemon's process id."""
        return self.root / "rack.pid"

    @property
    def bmc_password(self) -> Path:
        """Password of every BMC of the lab."""
        return self.root / "bmc.password"

    @property
    def config(self) -> Path:
        """The controller's configuration."""
        return self.root / "metalwright.toml"

    @property
    def data(self) -> Path:
        """The controller's data."""
        return self.root / "data"

    @property
    def env(self) -> Path:
        """Shell assignments for clients of the controller."""
        return self.root / "env"

    @property
    def machines(self) -> Path:
        """What the machines are and how they are powered, for the playbook that enlists them."""
        return self.root / "machines.yml"

    @property
    def inventory(self) -> Path:
        """Directory of the Ansible inventory."""
        return self.root / "inventory"

    @property
    def collections(self) -> Path:
        """Directory of the Ansible collection, where it comes from a checkout."""
        return self.root / "collections"

    @property
    def key(self) -> Path:
        """SSH key to enter deployed machines with."""
        return self.root / "id_ed25519"

    @property
    def logs(self) -> Path:
        """Directory of the daemon's and its children's logs."""
        return self.root / "log"

    @property
    def libvirt(self) -> Path:
        """Root directory of the embedded libvirt driver."""
        return self.root / "libvirt"

    @property
    def etc(self) -> Path:
        """Files that processes of the lab see in place of the host's."""
        return self.root / "etc"

    @property
    def packages_socket(self) -> Path:
        """Unix socket of the package cache, which has no other."""
        return self.root / "packages.sock"

    @property
    def accelerator(self) -> Path:
        """The verdict about KVM, for this start of the host."""
        return self.root / "accelerator.json"

    def console(self, machine: str) -> Path:
        """Return the serial console's log of a machine."""
        return self.root / "console" / f"{machine}.log"

    def disk(self, machine: str) -> Path:
        """Return the disk of a machine (raw, sparse)."""
        return self.root / "disks" / f"{machine}.raw"

    def nvram(self, machine: str) -> Path:
        """Return the UEFI variables of a machine."""
        return self.root / "nvram" / f"{machine}.fd"

    def boot_flags(self, machine: str) -> Path:
        """Return where the boot flags are kept that a machine's BMC was told."""
        return self.root / "boot" / f"{machine}.json"
