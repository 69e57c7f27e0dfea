# SPDX-License-Identifier: GPL-3.0-or-later
"""Operating system images made from a distribution's packages: ``metalwright image build debian/12``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from metalwright.errors import Unavailable
from metalwright.images import debian_files, debian_root, disk_image
from metalwright.images.host_tools import Progress, require, run
from metalwright.images.importer import TOOLS as IMPORT_TOOLS
from metalwright.images.importer import Imported, import_image
from metalwright.images.scratch import scratch

Kernel = Literal["generic", "cloud"]
KERNELS: dict[Kernel, str] = {"generic": "linux-image-amd64", "cloud": "linux-image-cloud-amd64"}
"""``generic`` runs on any machine; ``cloud`` is smaller and knows the devices of virtual machines only."""

_PACKAGES = (
    "acl",  # Ansible: becoming a user that is not root
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "curl",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "efibootmgr",
    "fdisk",
    "gdisk",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "grub-pc-bin",
    "grub2-common",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libnss-resolve",
    "libpam-systemd",
    "nano",
    "netbase",
    "netplan.io",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",  # Ansible: the apt module
    "shim-signed",
    "sudo",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "tzdata",
    "udev",
    "vim-tiny",
    "zstd",
)
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
_SHARE_OF_BOOTSTRAP = 0.6
_SHARE_OF_ASSEMBLY = 0.7
_NEEDED_BYTES = 6 << 30


def build_debian(
    release: str = "12", *, kernel: Kernel = "generic", target: Path, progress: Progress, mirror: str | None = None
) -> Imported:
    """Build Debian and import it into the directory ``target``; takes two to four minutes, 6 GiB while it runs, and root.

    The image boots by BIOS and UEFI (Secure Boot included), has cloud-init with the NoCloud data source, netplan with
    systemd-networkd, and consoles on screen and first serial port. Raises ``BuildFailed`` (``build_failed``), ``Unavailable``
    (``tools_missing``, ``disk_full``) and ``Invalid`` (``release_unknown``); then ``target`` is as it was.
    """
    require(*debian_root.TOOLS, *disk_image.TOOLS, *IMPORT_TOOLS)
    target.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(target).free < _NEEDED_BYTES:
        raise Unavailable("disk_full", f"{target} has less than {_NEEDED_BYTES >> 30} GiB free.", "Make room and try again.")
    with scratch(target) as directory:
        root = directory / "root"
        debian_root.bootstrap(
            root,
            release=release,
            packages=(KERNELS[kernel], *_PACKAGES),
            excluded_paths=_EXCLUDED,
            files=debian_files.BEFORE_PACKAGES,
            mirror=mirror,
            progress=lambda message, share: progress(message, None if share is None else share * _SHARE_OF_BOOTSTRAP),
        )
        progress("writing the disk image", _SHARE_OF_BOOTSTRAP)
        identity = disk_image.Identity.random()
        _finish_root(root, identity)
        image = directory / "disk.raw"
        grub_cfg = directory / "grub.cfg"
        grub_cfg.write_text(debian_files.esp_grub_cfg(identity.root_uuid), encoding="ascii")
        disk_image.assemble(image, root, identity=identity, esp_files=_esp_files(root, grub_cfg))
        shutil.rmtree(root)
        return import_image(
            image,
            sha256=None,
            target=target,
            progress=lambda message, share: progress(
                message, None if share is None else _SHARE_OF_ASSEMBLY + share * (1 - _SHARE_OF_ASSEMBLY)
            ),
        )


def _finish_root(root: Path, identity: disk_image.Identity) -> None:
    debian_root.forget_build_options(root)
    run(["chroot", str(root), "systemctl", "disable", "--quiet", *debian_files.DISABLED_UNITS])
    run(["chroot", str(root), "systemctl", "enable", "--quiet", *debian_files.ENABLED_UNITS])
    # Debian compiles it nowhere; cloud-init starts it at every first boot.
    run(["chroot", str(root), "python3", "-m", "compileall", "-q", "/usr/share/netplan"])
    kernel = next((root / "boot").glob("vmlinuz-*")).name
    version = kernel.removeprefix("vmlinuz-")
    debian_root.write_files(
        root,
        {
            "etc/fstab": debian_files.fstab(identity.root_uuid, identity.esp_serial),
            "etc/machine-id": "",  # empty, not missing: systemd makes one and does not take this for a first boot of its own kind
            "boot/grub/grub.cfg": debian_files.grub_cfg(identity.root_uuid, f"/boot/{kernel}", f"/boot/initrd.img-{version}"),
        },
    )
    for pattern in debian_files.REMOVED:
        for path in root.glob(pattern):
            path.unlink()
    efi = root / "boot/efi"
    efi.mkdir(exist_ok=True)
    modules = root / "boot/grub/x86_64-efi"
    modules.mkdir()
    for path in (root / "usr/lib/grub/x86_64-efi").iterdir():
        if path.suffix in (".mod", ".lst"):
            shutil.copyfile(path, modules / path.name)
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.symlink_to("../run/systemd/resolve/stub-resolv.conf")


def _esp_files(root: Path, grub_cfg: Path) -> dict[str, Path]:
    """Shim and GRUB as Debian signed them, for an entry of the firmware's (EFI/debian) and without one (EFI/BOOT)."""
    shim = root / "usr/lib/shim/shimx64.efi.signed"
    grub = root / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    return {
        "EFI/BOOT/BOOTX64.EFI": shim,
        "EFI/BOOT/grubx64.efi": grub,
        "EFI/debian/shimx64.efi": shim,
        "EFI/debian/grubx64.efi": grub,
        "EFI/debian/grub.cfg": grub_cfg,
    }
