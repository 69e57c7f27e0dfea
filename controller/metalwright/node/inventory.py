# SPDX-License-Identifier: GPL-3.0-or-later
"""The hardware inventory that agents send, and what of it goes into a machine's row.

The shape is schema 1 of ``agent/inventory.schema.json``. Nothing in it is trusted: firmware writes these strings, and an
enlisting machine is a stranger. Texts are cut and cleaned, lists and numbers are bounded, unknown fields are dropped.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.node import who
from metalwright.node.bodies import Message, Word
from metalwright.store.models import Interface, Machine

MOST_INTERFACES = 512
"""Of a machine. Each inventory may bring new ones, and those that were not seen stay."""
Count = Annotated[int, Field(ge=0, le=1 << 20)]
Bytes = Annotated[int, Field(ge=0, le=1 << 60)]
Address = Annotated[Word, AfterValidator(lambda text: text[:64])]


class System(Message):
    """DMI type 1."""

    vendor: Word | None = None
    product: Word | None = None
    serial: Word | None = None
    uuid: Word | None = None
    sku: Word | None = None


class Firmware(Message):
    """DMI type 0, and how this boot was started."""

    type: Literal["bios", "uefi"]
    vendor: Word | None = None
    version: Word | None = None
    date: Word | None = None
    secure_boot: bool | None = None


class Bmc(Message):
    """The management controller's own network address."""

    address: Address | None = None
    mac: Address | None = None


class Chassis(Message):
    """DMI type 3: the case; ``type`` is its kind in words."""

    vendor: Word | None = None
    type: Word | None = None
    serial: Word | None = None
    asset_tag: Word | None = None


class Cpu(Message):
    """Processors; ``threads`` is what the scheduler sees."""

    model: Word | None = None
    arch: Word
    sockets: Count | None = None
    cores: Count | None = None
    threads: Count
    mhz: Annotated[float, Field(ge=0, le=1e6)] | None = None


class Memory(Message):
    """Memory that is fitted, not what the kernel left over."""

    bytes: Bytes


class Disk(Message):
    """A block device; ``id`` stays the same when ``name`` does not."""

    name: Word
    path: Word
    id: Word
    serial: Word | None = None
    wwn: Word | None = None
    model: Word | None = None
    size_bytes: Bytes
    rotational: bool | None = None
    transport: Word | None = None
    removable: bool = False


class Lldp(Message):
    """The neighbour at the other end of the cable (IEEE 802.1AB)."""

    chassis: Word | None = None
    port: Word | None = None
    system: Word | None = None


class Nic(Message):
    """A network interface."""

    name: Annotated[Word, AfterValidator(lambda text: text[:32])]
    mac: Word
    driver: Word | None = None
    speed_mbps: Annotated[int, Field(ge=-1, le=10_000_000)] | None = None
    link: bool | None = None
    pci: Word | None = None
    pci_id: Annotated[Word, AfterValidator(lambda text: text[:9])] | None = None
    lldp: Lldp | None = None


class Inventory(Message):
    """All of it."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    system: System
    firmware: Firmware
    bmc: Bmc | None = None
    chassis: Chassis | None = None
    cpu: Cpu
    memory: Memory
    disks: Annotated[list[Disk], Field(max_length=1024)]
    nics: Annotated[list[Nic], Field(max_length=256)]

    def identity(self) -> who.Identity:
        """What it says the machine is."""
        return who.Identity(system_uuid=self.system.uuid, serial=self.system.serial, macs=[nic.mac for nic in self.nics])


_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}


def store(session: Session, machine: Machine, inventory: Inventory) -> list[str]:
    """Write the facts into the machine's row and interfaces; answer the MACs left out because they are another machine's.

    ``disk_gib`` is the largest disk that is not removable: what somebody who asks for a large disk means. Interfaces that were
    not seen stay: the operator may know of a card that is not fitted today.
    """
    machine.hardware = inventory.model_dump(mode="json", by_alias=True)
    machine.cpu_count = inventory.cpu.threads
    machine.memory_mib = inventory.memory.bytes >> 20
    machine.disk_gib = max((disk.size_bytes >> 30 for disk in inventory.disks if not disk.removable), default=0)
    machine.arch = _ARCHES.get(inventory.cpu.arch, inventory.cpu.arch[:16])
    machine.firmware = inventory.firmware.type
    machine.system_uuid = who.system_uuid(inventory.system.uuid or "")
    machine.serial = who.system_serial(inventory.system.serial or "")
    return _store_interfaces(session, machine, inventory.nics)


def _store_interfaces(session: Session, machine: Machine, nics: list[Nic]) -> list[str]:
    seen = {mac: nic.name for nic in nics if (mac := who.mac_address(nic.mac))}
    known = {interface.mac: interface for interface in machine.interfaces}
    statement = select(Interface.mac).where(Interface.mac.in_(seen), Interface.machine_id != machine.id)
    foreign = list(session.scalars(statement))
    position = max((interface.position for interface in machine.interfaces), default=-1)
    for mac, name in seen.items():
        if mac in known:
            known[mac].name = name
        elif mac not in foreign and len(machine.interfaces) < MOST_INTERFACES:
            position += 1
            machine.interfaces.append(Interface(mac=mac, name=name, position=position))
    return foreign


def boots_from(machine: Machine, mac: str | None) -> None:
    """Mark the interface the machine has just booted from. One that has an address keeps its mark: others go by it."""
    booted = next((interface for interface in machine.interfaces if interface.mac == mac), None)
    current = machine.boot_interface
    if booted is None or (current is not None and current.address is not None and current.mac != mac):
        return
    for interface in machine.interfaces:
        interface.boot = interface is booted
