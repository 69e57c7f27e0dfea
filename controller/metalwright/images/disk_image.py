# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk image from a directory, without loop devices or mounts: nothing of the host is in use, nothing can be left behind.

LBA 0            protective MBR with GRUB's boot code, primary GPT
1 MiB            BIOS boot partition (1 MiB): GRUB's core image
2 MiB            EFI system partition (FAT32): shim and GRUB, below EFI/BOOT and EFI/debian
then             root (ext4), the last one so that it can grow
end              backup GPT
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metalwright.images.host_tools import run

TOOLS = ("sgdisk", "mkfs.ext4", "mkfs.vfat", "mmd", "mcopy", "chroot")
_MIB = 1 << 20
_SECTOR = 512
_CORE_START = 1
_ESP_START = 2
_ESP_SIZE = 64
_ROOT_START = _ESP_START + _ESP_SIZE
_GPT_TAIL = 1
# The features GRUB 2.06 reads, whatever the mke2fs of this host has as its defaults.
_EXT4 = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
_JOURNAL = 64
_GRUB_MODULES = ("biosdisk", "part_gpt", "ext2", "normal")
# grub 2.06, include/grub/i386/pc/boot.h: offsets in boot.img.
_BOOT_KERNEL_SECTOR = 0x5C
_BOOT_DRIVE_CHECK = 0x66
_BOOT_CODE_END = 440


@dataclass(frozen=True)
class Identity:
    """What the file systems are called, decided before they are made: files inside them name them."""

    root_uuid: str
    esp_serial: str

    @classmethod
    def random(cls) -> Identity:
        """Return a new one."""
        serial = os.urandom(4).hex().upper()
        return cls(str(uuid.uuid4()), f"{serial[:4]}-{serial[4:]}")


def root_size(root: Path) -> int:
    """Return the bytes a file system for ``root`` should have: what is there, and room to boot where the disk is no larger."""
    used = sum(-(-path.lstat().st_size // 4096) * 4096 + 512 for path in root.rglob("*"))
    return -(-(used * 115 // 100 + (_JOURNAL + 192) * _MIB) // (64 * _MIB)) * 64 * _MIB


def assemble(image: Path, root: Path, *, identity: Identity, esp_files: Mapping[str, Path]) -> None:
    """Write the raw disk ``image`` with ``root`` in it; ``esp_files`` are paths in the EFI system partition and their sources.

    ``root`` has the packages grub-common and grub-pc-bin installed. The image is sparse. Raises ``BuildFailed``
    (``build_failed``) when a program fails.
    """
    size = root_size(root)
    with image.open("wb") as stream:
        stream.truncate(_ROOT_START * _MIB + size + _GPT_TAIL * _MIB)
    run([
        *("sgdisk", "--clear", "--set-alignment=2048", str(image)),
        *(f"--new=1:{_CORE_START}M:+1M", "--typecode=1:EF02", "--change-name=1:bios"),
        *(f"--new=2:{_ESP_START}M:+{_ESP_SIZE}M", "--typecode=2:EF00", "--change-name=2:esp"),
        *(f"--new=3:{_ROOT_START}M:+{size // _MIB}M", "--typecode=3:8304", "--change-name=3:root"),
    ])  # fmt: skip
    _make_esp(image, identity, esp_files)
    _install_bios_grub(image, root)
    run([
        *("mkfs.ext4", "-q", "-F", "-d", str(root), "-L", "root", "-U", identity.root_uuid, "-O", _EXT4, "-m", "1"),
        *("-E", f"offset={_ROOT_START * _MIB},lazy_itable_init=0,lazy_journal_init=0", "-J", f"size={_JOURNAL}"),
        *("-b", "4096", str(image), f"{size // 1024}k"),
    ])  # fmt: skip


def _make_esp(image: Path, identity: Identity, files: Mapping[str, Path]) -> None:
    sectors = _ESP_START * _MIB // _SECTOR
    serial = identity.esp_serial.replace("-", "")
    kib = _ESP_SIZE * 1024
    run(["mkfs.vfat", "-F", "32", "-s", "1", "-n", "ESP", "-i", serial, f"--offset={sectors}", str(image), str(kib)])
    at = f"{image}@@{_ESP_START * _MIB}"
    made: set[str] = set()
    for name, source in files.items():
        parents = name.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            directory = "/".join(parents[:depth])
            if directory not in made:
                made.add(directory)
                run(["mmd", "-i", at, f"::{directory}"])
        run(["mcopy", "-i", at, str(source), f"::{name}"])


def _install_bios_grub(image: Path, root: Path) -> None:
    """Do what grub-bios-setup(8) does, on a file.

    boot.img in the MBR points to the first sector of core.img, and that one to the rest.
    """
    target = root / "boot/grub/i386-pc"
    target.mkdir(parents=True, exist_ok=True)
    source = root / "usr/lib/grub/i386-pc"
    for path in source.iterdir():
        if path.suffix in (".mod", ".lst"):
            (target / path.name).write_bytes(path.read_bytes())
    core_file = target / "core.img"
    run([
        *("chroot", str(root), "grub-mkimage", "-O", "i386-pc", "-p", "(,gpt3)/boot/grub"),
        *("-o", "/boot/grub/i386-pc/core.img", *_GRUB_MODULES),
    ])  # fmt: skip
    core = bytearray(core_file.read_bytes())
    start = _CORE_START * _MIB // _SECTOR
    # diskboot.S: the last 12 bytes of its sector are the first block list: where the rest starts; length and segment are set.
    struct.pack_into("<Q", core, _SECTOR - 12, start + 1)
    boot = bytearray((source / "boot.img").read_bytes())
    struct.pack_into("<Q", boot, _BOOT_KERNEL_SECTOR, start)
    # For firmware that passes a wrong drive number in DL (boot.S, boot_drive_check): two NOPs enable the correction.
    boot[_BOOT_DRIVE_CHECK : _BOOT_DRIVE_CHECK + 2] = b"\x90\x90"
    with image.open("r+b") as stream:
        stream.write(boot[:_BOOT_CODE_END])
        stream.seek(_CORE_START * _MIB)
        stream.write(core)
