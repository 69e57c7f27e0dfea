# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot loaders the controller hands out: iPXE for BIOS and UEFI, and a GRUB that starts what is on a UEFI machine's disk."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from metalwright.images.host_tools import require, require_file, run

GRUB = Path("/usr/lib/grub/x86_64-efi")
"""GRUB's modules for UEFI. They are no part of the package that has ``grub-mkstandalone``."""
IPXE = Path("/usr/lib/ipxe")
IPXE_LOADERS = ("undionly.kpxe", "snponly.efi")
LOCAL_BOOT = "local-boot.efi"

# Distributions' own entries come before the removable path: the latter may also be on a stick that was left in the machine.
_ON_DISK = (
    *(f"/EFI/{vendor}/{name}" for vendor in ("debian", "ubuntu", "fedora", "redhat", "centos", "rocky", "almalinux", "opensuse")
      for name in ("shimx64.efi", "grubx64.efi")),
    "/EFI/systemd/systemd-bootx64.efi",
    "/EFI/Microsoft/Boot/bootmgfw.efi",
    "/EFI/BOOT/BOOTX64.EFI",
)  # fmt: skip
_MODULES = "part_gpt part_msdos fat search search_fs_file chain normal test echo"


def install(target: Path) -> None:
    """Put all loaders into the directory ``target``; those that are there are replaced, each at once.

    Raises ``Unavailable`` (``tools_missing``) that names the Debian package to install.
    """
    require("grub-mkstandalone")
    require_file(GRUB / "moddep.lst", "grub-efi-amd64-bin")
    for name in IPXE_LOADERS:
        require_file(IPXE / name, "ipxe")
    target.mkdir(parents=True, exist_ok=True)
    for name in IPXE_LOADERS:
        _replace(IPXE / name, target / name)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / LOCAL_BOOT
        configuration = Path(scratch) / "grub.cfg"
        configuration.write_text(_local_boot(), encoding="utf-8")
        run(
            [
                *("grub-mkstandalone", "--directory", str(GRUB), "--format", "x86_64-efi", "--output", str(made)),
                *("--modules", _MODULES, "--install-modules", _MODULES, "--locales=", "--fonts=", "--themes="),
                f"boot/grub/grub.cfg={configuration}",
            ]
        )
        _replace(made, target / LOCAL_BOOT)


def _local_boot() -> str:
    """GRUB's script: start the first loader that is found; leave with nothing started if there is none."""
    return (
        f"for loader in {' '.join(_ON_DISK)}; do\n"
        "    if search --no-floppy --file --set=root $loader; then\n"
        "        chainloader ($root)$loader\n"
        "        boot\n"
        "    fi\n"
        "done\n"
        "echo Metalwright: no boot loader was found on the disks of this machine\n"
        "exit 1\n"
    )


def _replace(source: Path, target: Path) -> None:
    new = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, new)
    new.replace(target)
