# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from the firmware to the installed system's boot loader.

UEFI: an entry of its own, tried right after the network the machine has just booted from (curtin's and MAAS's order: the
controller must be able to take the machine back, and answers "boot your disk" otherwise). BIOS: the loader is in the image.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from .abort import Abort
from .children import run
from .disks import Disk
from .errors import CommandFailed, StepFailed
from .partitions import ESP_TYPES, Partition
from .target import mounted
from .work import Work

_MBR_CODE_BYTES = 440
# In the order of preference: a shim verifies what it loads, and knows its GRUB; the last is the removable media path
# (UEFI 2.10, 3.5.1.1), by which firmware finds the disk also without an entry.
_LOADERS = {
    "x86_64": ("shimx64.efi", "grubx64.efi", "systemd-bootx64.efi", "bootx64.efi"),
    "aarch64": ("shimaa64.efi", "grubaa64.efi", "systemd-bootaa64.efi", "bootaa64.efi"),
}
_ENTRY = re.compile(r"Boot([0-9A-F]{4})\*? (.*)")
_NETWORK = re.compile(r"PXE|HTTP|Network|IPv[46]|MAC\(", re.IGNORECASE)
_EFIVARS = Path("/sys/firmware/efi/efivars")
_IPMI = Path("/dev/ipmi0")
_LONGEST_LABEL = 64


def install(disk: Disk, partitions: list[Partition], label: str, work: Work) -> str | None:
    """See that the firmware finds the loader on ``disk``; return the number of the UEFI entry made (four hex digits), or None.

    Raises ``StepFailed`` (``no_bootloader``) when the image has nothing that this machine's firmware could start.
    """
    if work.firmware != "uefi":
        _require_boot_code(disk)
        return None
    system = next((partition for partition in partitions if partition.type.lower() in ESP_TYPES), None)
    if system is None:
        raise StepFailed("no_bootloader", "the image has no EFI system partition, and this machine boots by UEFI")
    try:
        with mounted(system, work.abort) as root:
            loader = find_loader(root)
    except CommandFailed as error:
        raise StepFailed("no_bootloader", f"the EFI system partition can not be read: {error}") from error
    if loader is None:
        raise StepFailed("no_bootloader", f"the EFI system partition {system.path} has no boot loader for {os.uname().machine}")
    clean_label = "".join(character for character in label if character.isprintable())[:_LONGEST_LABEL]
    try:
        number = _make_entry(disk, system, loader, clean_label, work)
    except CommandFailed as error:
        if not loader.lower().startswith("\\efi\\boot\\"):
            raise StepFailed("no_bootloader", f"the firmware takes no boot entry: {error}") from error
        work.console.say(f"configure: the firmware takes no boot entry ({error}); it will find {loader} by itself")
        return None
    work.console.say(f"configure: UEFI boot entry {number} '{clean_label}' starts {loader}")
    return number


def find_loader(root: Path, machine: str = "") -> str | None:
    """Return an EFI system partition's best loader, or None. Paths as firmware has them: ``\\EFI\\debian\\shimx64.efi``."""
    loaders = [path for path in sorted(root.glob("*/*/*")) if path.parent.parent.name.lower() == "efi"]
    loaders.sort(key=lambda path: path.parent.name.lower() == "boot")  # a vendor's own directory before the fallback's
    for name in _LOADERS.get(machine or os.uname().machine, ()):
        for path in loaders:
            if path.name.lower() == name:
                return "\\" + "\\".join(path.relative_to(root).parts)
    return None


def order(current: str, existing: list[str], network: list[str], new: str) -> list[str]:
    """Return the boot order: the network entry that this boot came from, the new entry, all others as they were.

    ``current`` is the firmware's BootCurrent; where it gives none, the first entry that looks like one of a network counts.
    """
    first = [current] if current else [number for number in existing if number in network][:1]
    rest = [number for number in existing if number not in (*first, new)]
    return [*first, new, *rest]


def network_next(firmware: str, abort: Abort, bmc: Path = _IPMI) -> str:
    """Have the firmware boot from the network once more, whatever its order says; return how, empty where there is no way.

    UEFI: the entry this boot came from is the next one (BootNext, UEFI 2.10, 3.1.2). Else the BMC is asked (IPMI 2.0, 28.12).
    """
    try:
        if firmware == "uefi":
            _require_variables(abort)
            if current := parse(run(["efibootmgr"], abort)).current:
                run(["efibootmgr", "--quiet", "--bootnext", current], abort)
                return f"UEFI boot entry {current}"
        if bmc.exists():
            run(["ipmitool", "chassis", "bootdev", "pxe", *(["options=efiboot"] if firmware == "uefi" else [])], abort)
            return "the BMC"
    except CommandFailed:
        return ""
    return ""


def _require_variables(abort: Abort) -> None:
    if not any(_EFIVARS.glob("*")):
        run(["mount", "-t", "efivarfs", "efivarfs", str(_EFIVARS)], abort)


def _make_entry(disk: Disk, system: Partition, loader: str, label: str, work: Work) -> str:
    _require_variables(work.abort)
    before = parse(run(["efibootmgr"], work.abort))
    for number, name in before.entries.items():
        if name == label:  # of an earlier deployment: NVRAM is small
            run(["efibootmgr", "--quiet", "--bootnum", number, "--delete-bootnum"], work.abort)
    create = [
        "efibootmgr",
        "--create-only",
        "--disk",
        disk.path,
        "--part",
        str(system.number),
        "--label",
        label,
        "--loader",
        loader,
    ]
    after = parse(run(create, work.abort))
    kept = {number for number, name in before.entries.items() if name != label}
    new = next((number for number, name in after.entries.items() if number not in kept and name == label), None)
    if new is None:
        raise CommandFailed("efibootmgr made no entry")
    network = [number for number, name in after.entries.items() if _NETWORK.search(name)]
    wanted = order(after.current, after.order, network, new)
    run(["efibootmgr", "--quiet", "--bootorder", ",".join(wanted)], work.abort)
    return new


class Variables(NamedTuple):
    """What efibootmgr shows: the entry of this boot (empty when unknown), the order, and every entry's name by its number."""

    current: str
    order: list[str]
    entries: dict[str, str]


def parse(text: str) -> Variables:
    """Read what ``efibootmgr`` prints without ``-v``. Newer ones add the device path behind a tab; it is cut off."""
    current, sequence, entries = "", list[str](), dict[str, str]()
    for line in text.splitlines():
        if line.startswith("BootCurrent: "):
            current = line.split()[1]
        elif line.startswith("BootOrder: "):
            sequence = line.split()[1].split(",")
        elif found := _ENTRY.fullmatch(line):
            entries[found[1]] = found[2].partition("\t")[0].strip()
    return Variables(current, sequence, entries)


def _require_boot_code(disk: Disk) -> None:
    device = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        code = os.pread(device, _MBR_CODE_BYTES, 0)
    finally:
        os.close(device)
    if not any(code):
        raise StepFailed("no_bootloader", "the image has no boot code in its first sector, and this machine boots by BIOS")
