# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's disks, and which of them a hint means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .errors import StepFailed

_SECTOR = 512  # the unit of /sys/block/*/size, whatever the disk's own sectors are
_VIRTUAL = ("loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock", "drbd", "rbd", "zd")
_GIB = 1 << 30
HINTS = ("name", "serial", "wwn", "model", "min_size_gib", "rotational")


class Disk(NamedTuple):
    """One disk. ``id`` is stable over reboots and slots as far as the hardware allows: WWN, else serial number, else slot."""

    name: str
    path: str
    id: str
    serial: str
    wwn: str
    model: str
    size_bytes: int
    rotational: bool
    transport: str
    removable: bool
    links: tuple[str, ...] = ()
    """Other paths of the device (/dev/disk/by-*)."""


def list_disks(sys: Path = Path("/sys"), dev: Path = Path("/dev"), run: Path = Path("/run")) -> list[Disk]:
    """Return the disks that can be written to, by name; not the virtual and the read-only ones, nor drives without a medium."""
    links = _links(dev)
    found = []
    for block in sorted((sys / "block").iterdir()):
        if block.name.startswith(_VIRTUAL) or (block.name.startswith("mmcblk") and "boot" in block.name):
            continue
        size = int(_read(block / "size") or 0) * _SECTOR
        if size == 0 or _read(block / "ro") == "1" or _read(block / "hidden") == "1":
            continue
        found.append(_disk(block, size, dev, run, links))
    return found


def choose(disks: Iterable[Disk], hints: Mapping[str, Any], image_bytes: int) -> Disk:
    """Return the smallest disk that fits the hints and the image; of equal ones the first by id.

    Removable disks are never chosen. Raises ``StepFailed``: ``no_disk``, ``disk_too_small``, and ``agent_error`` for a hint
    that is not known.
    """
    unknown = sorted(set(hints) - set(HINTS))
    if unknown:
        raise StepFailed("agent_error", f"unknown disk hint: {', '.join(unknown)}; known are {', '.join(HINTS)}")
    fixed = [disk for disk in disks if not disk.removable]
    if not fixed:
        raise StepFailed("no_disk", "the machine has no disk that is not removable")
    fitting = [disk for disk in fixed if matches(disk, hints)]
    if not fitting:
        wanted = ", ".join(f"{name}={value}" for name, value in sorted(hints.items()))
        raise StepFailed("no_disk", f"no disk fits {wanted}; there are: {'; '.join(describe(disk) for disk in fixed)}")
    large_enough = [disk for disk in fitting if disk.size_bytes >= image_bytes]
    if not large_enough:
        largest = max(fitting, key=lambda disk: disk.size_bytes)
        raise StepFailed(
            "disk_too_small",
            f"{describe(largest)} is too small: the image has {human_size(image_bytes)} ({image_bytes} bytes),"
            f" the disk {largest.size_bytes} bytes",
        )
    return min(large_enough, key=lambda disk: (disk.size_bytes, disk.id, disk.name))


def matches(disk: Disk, hints: Mapping[str, Any]) -> bool:
    """Return whether a disk fits every hint given (docs/reference/agent-protocol.md says how each is compared)."""
    given = {name: value for name, value in hints.items() if value is not None}
    name = str(given.get("name", disk.name))
    return (
        (name.removeprefix("/dev/") == disk.name or name in (disk.path, *disk.links))
        and _same(given.get("serial"), disk.serial)
        and _same(_plain_wwn(str(given["wwn"])) if "wwn" in given else None, _plain_wwn(disk.wwn))
        and str(given.get("model", "")).casefold() in disk.model.casefold()
        and disk.size_bytes >= float(given.get("min_size_gib", 0)) * _GIB
        and given.get("rotational", disk.rotational) == disk.rotational
    )


def partitions(disk: Disk, sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> list[Path]:
    """Return the devices of a disk's partitions in order of number, as the kernel knows them now."""
    numbered = [
        (int(_read(path / "partition")), dev / path.name)
        for path in (sys / "block" / disk.name).glob("*/")
        if (path / "partition").exists()
    ]
    return [path for _, path in sorted(numbered)]


def describe(disk: Disk) -> str:
    """Return a disk in words: path, size, model, serial number."""
    named = " ".join(part for part in (disk.model, disk.serial and f"serial {disk.serial}") if part)
    return f"{disk.path} ({human_size(disk.size_bytes)}{', ' + named if named else ''})"


def human_size(size: float) -> str:
    """Return a number of bytes as a person reads it: ``512 MiB``, ``1.8 TiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if size >= 10 or size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _disk(block: Path, size: int, dev: Path, run: Path, links: Mapping[str, tuple[str, ...]]) -> Disk:
    udev = _udev(run, _read(block / "dev"))
    serial = (
        udev.get("ID_SERIAL_SHORT") or udev.get("ID_SCSI_SERIAL") or _read(block / "device/serial") or _read(block / "serial")
    )
    wwn = udev.get("ID_WWN_WITH_EXTENSION") or udev.get("ID_WWN") or _read(block / "wwid") or _read(block / "device/wwid")
    if not wwn.startswith(("0x", "naa.", "eui.", "uuid.")):  # the kernel also puts made-up names into wwid
        wwn = ""
    transport = _transport(block, udev)
    slot = udev.get("ID_PATH", "")
    stable = (wwn and f"wwn-{wwn}") or (serial and f"serial-{serial}") or (slot and f"path-{slot}") or f"name-{block.name}"
    return Disk(
        name=block.name,
        path=str(dev / block.name),
        id=stable,
        serial=serial,
        wwn=wwn,
        model=(udev.get("ID_MODEL", "").replace("_", " ") or _read(block / "device/model")).strip(),
        size_bytes=size,
        rotational=_read(block / "queue/rotational") == "1",
        transport=transport,
        # A USB disk is somebody's stick or a BMC's virtual medium, also when it does not call itself removable.
        removable=_read(block / "removable") == "1" or transport == "usb",
        links=links.get(block.name, ()),
    )


def _transport(block: Path, udev: Mapping[str, str]) -> str:
    device = str(block.resolve())
    if block.name.startswith("nvme"):
        return "nvme"
    if block.name.startswith("mmcblk"):
        return "mmc"
    if udev.get("ID_BUS") == "usb" or "/usb" in device:
        return "usb"
    if block.name.startswith(("vd", "xvd")):
        return "virtio" if block.name.startswith("vd") else "xen"
    if udev.get("ID_BUS") == "ata" or "/ata" in device:
        return "sata"
    if (block / "device/sas_address").exists():
        return "sas"
    return "scsi" if (block / "device/scsi_device").exists() else "other"


def _udev(run: Path, number: str) -> dict[str, str]:
    """Return udev's properties of a block device from its database; reading it spares a process for every disk."""
    try:
        text = (run / "udev/data" / f"b{number}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line[2:].partition("=") for line in text.splitlines() if line.startswith("E:"))
    return {name: value.strip() for name, _, value in pairs}


def _links(dev: Path) -> dict[str, tuple[str, ...]]:
    """Return the links below /dev/disk of every block device, by the device's name."""
    found: dict[str, list[str]] = {}
    for directory in ("by-id", "by-path"):
        for link in sorted((dev / "disk" / directory).glob("*")):
            found.setdefault(link.resolve().name, []).append(str(link))
    return {name: tuple(paths) for name, paths in found.items()}


def _same(wanted: object, actual: str) -> bool:
    return wanted is None or str(wanted).strip().casefold() == actual.casefold()


def _plain_wwn(wwn: str) -> str:
    return wwn.strip().casefold().removeprefix("0x").removeprefix("naa.").removeprefix("eui.")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
