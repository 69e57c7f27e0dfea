# SPDX-License-Identifier: GPL-3.0-or-later
"""The way into the installed system: boot entries of the firmware, and kernels to start directly."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from file_disks import file_disk

from metalwright.agent.abort import Abort
from metalwright.agent.bootloader import find_loader, network_next, order, parse
from metalwright.agent.console import Console
from metalwright.agent.handover import Handover, Kernel, from_grub, from_loader_entry

EFIBOOTMGR = """\
BootCurrent: 0003
Timeout: 0 seconds
BootOrder: 0001,0003,0000
Boot0000* UiApp
Boot0001* debian
Boot0003* UEFI PXEv4 (MAC:525400AABBCC)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400aabbcc,1)/IPv4(0.0.0.0)
Boot0004  UEFI Misc Device
MirroredPercentageAbove4G: 0.00
"""


def test_what_efibootmgr_prints_is_understood() -> None:
    assert parse(EFIBOOTMGR) == (
        "0003",
        ["0001", "0003", "0000"],
        {"0000": "UiApp", "0001": "debian", "0003": "UEFI PXEv4 (MAC:525400AABBCC)", "0004": "UEFI Misc Device"},
    )
    assert parse("EFI variables are not supported on this system.\n") == ("", [], {})


@pytest.mark.parametrize(
    ("current", "existing", "network", "wanted"),
    [
        ("0003", ["0001", "0003", "0000"], ["0003"], ["0003", "0005", "0001", "0000"]),
        ("0003", ["0000", "0001"], ["0003"], ["0003", "0005", "0000", "0001"]),
        ("", ["0000", "0002", "0003"], ["0002", "0003"], ["0002", "0005", "0000", "0003"]),
        ("", ["0000"], [], ["0005", "0000"]),
        ("0003", ["0003", "0005", "0001"], ["0003"], ["0003", "0005", "0001"]),
    ],
)
def test_the_network_comes_first_and_then_the_new_system(
    current: str, existing: list[str], network: list[str], wanted: list[str]
) -> None:
    assert order(current, existing, network, "0005") == wanted


@pytest.mark.parametrize(
    ("firmware", "prints", "bmc", "by", "calls"),
    [
        ("uefi", EFIBOOTMGR, True, "UEFI boot entry 0003", ["efibootmgr ", "efibootmgr --quiet --bootnext 0003"]),
        ("uefi", "Timeout: 0 seconds\n", True, "the BMC", ["efibootmgr ", "ipmitool chassis bootdev pxe options=efiboot"]),
        ("bios", EFIBOOTMGR, True, "the BMC", ["ipmitool chassis bootdev pxe"]),
        ("bios", EFIBOOTMGR, False, "", []),
    ],
)
def test_a_restart_leads_to_the_network_again(
    firmware: str,
    prints: str,
    bmc: bool,
    by: str,
    calls: list[str],
    tmp_path: Path,
    abort: Abort,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The programs only note how they were called: there is no firmware here that could be told."""
    log, device, variables = tmp_path / "calls", tmp_path / "ipmi0", tmp_path / "efivars"
    log.touch()
    variables.mkdir()
    (variables / "BootOrder-8be4df61").touch()
    (tmp_path / "printed").write_text(prints)
    for name in ("efibootmgr", "ipmitool"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{log}\ncat {tmp_path}/printed\n')
        (tmp_path / name).chmod(0o755)
    if bmc:
        device.touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("metalwright.agent.bootloader._EFIVARS", variables)
    assert network_next(firmware, abort, device) == by
    assert log.read_text().splitlines() == calls


@pytest.mark.parametrize(
    ("files", "loader"),
    [
        (["EFI/BOOT/BOOTX64.EFI"], "\\EFI\\BOOT\\BOOTX64.EFI"),
        (["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi"], "\\EFI\\BOOT\\grubx64.efi"),
        (["EFI/BOOT/BOOTX64.EFI", "EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi"], "\\EFI\\debian\\shimx64.efi"),
        (["EFI/BOOT/shimx64.efi", "EFI/rocky/shimx64.efi"], "\\EFI\\rocky\\shimx64.efi"),
        (["efi/boot/bootx64.efi"], "\\efi\\boot\\bootx64.efi"),
        (["EFI/BOOT/BOOTAA64.EFI"], None),
        (["boot/grub/shimx64.efi"], None),
        ([], None),
    ],
)
def test_the_loader_of_an_efi_partition(files: list[str], loader: str | None, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"MZ")
    assert find_loader(tmp_path, "x86_64") == loader


DEBIAN = """\
set default="0"
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
\tload_video
\tinsmod gzio
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tsearch --no-floppy --fs-uuid --set=root 1
\techo\t'Loading Linux 6.1.0-13-cloud-amd64 ...'
\tlinux\t/boot/vmlinuz-6.1.0-13-cloud-amd64 root=PARTUUID=1 ro  console=tty0 console=ttyS0,115200 earlyprintk=ttyS0
\techo\t'Loading initial ramdisk ...'
\tinitrd\t/boot/initrd.img-6.1.0-13-cloud-amd64
}
submenu 'Advanced options' {
\tmenuentry 'recovery' {
\t\tlinux\t/boot/vmlinuz-6.1.0-13-cloud-amd64 root=PARTUUID=1 ro single
\t\tinitrd\t/boot/initrd.img-6.1.0-13-cloud-amd64
\t}
}
"""


def entry(*lines: str) -> str:
    return "menuentry 'x' {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        (
            DEBIAN,
            Kernel(
                "/boot/vmlinuz-6.1.0-13-cloud-amd64",
                "/boot/initrd.img-6.1.0-13-cloud-amd64",
                "root=PARTUUID=1 ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0",
            ),
        ),
        (entry("linux /vmlinuz root=/dev/vda1 $vt_handoff", "initrd /initrd"), Kernel("/vmlinuz", "/initrd", "root=/dev/vda1")),
        (entry("linuxefi /vmlinuz ${kernelopts}", "initrdefi /initrd"), Kernel("/vmlinuz", "/initrd", "root=UUID=7 ro")),
        (entry("linux /vmlinuz 'root=LABEL=a b' ro", "initrd /initrd"), Kernel("/vmlinuz", "/initrd", "root=LABEL=a b ro")),
        (entry("linux /vmlinuz ro", "initrd /initrd"), None),
        (entry("linux /vmlinuz root=/dev/sda1"), None),
        (entry("linux /vmlinuz root=/dev/sda1", "initrd /ucode /initrd"), None),
        (entry("linux /vmlinuz-$v root=/dev/sda1", "initrd /initrd"), None),
        (entry("linux /vmlinuz root=UUID=$uuid", "initrd /initrd"), None),
        (entry("chainloader +1"), None),
        ("", None),
    ],
)
def test_the_default_entry_of_grub(text: str, kernel: Kernel | None) -> None:
    assert from_grub(text, {"kernelopts": "root=UUID=7 ro"}) == kernel


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        (
            "# Rocky\nlinux /vmlinuz-5.14\ninitrd /initramfs-5.14.img $tuned_initrd\noptions root=/dev/vda4 ro $tuned_params\n",
            Kernel("/vmlinuz-5.14", "/initramfs-5.14.img", "root=/dev/vda4 ro"),
        ),
        ("linux /vmlinuz\ninitrd /initrd\noptions $kernelopts\n", Kernel("/vmlinuz", "/initrd", "root=UUID=7")),
        ("linux /vmlinuz\ninitrd /a\ninitrd /b\noptions root=x\n", None),
        ("efi /EFI/Linux/x.efi\n", None),
    ],
)
def test_an_entry_of_the_boot_loader_specification(text: str, kernel: Kernel | None) -> None:
    assert from_loader_entry(text, {"kernelopts": "root=UUID=7"}) == kernel


@pytest.mark.parametrize("config", [None, entry("chainloader +1"), entry("linux /boot/gone root=x", "initrd /boot/gone")])
def test_what_is_odd_is_left_to_the_firmware(
    config: str | None, tmp_path: Path, loop: Callable[..., Path], console: Console, printed: io.StringIO
) -> None:
    tree = tmp_path / "tree"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "etc/os-release").write_text("ID=x\n")
    if config is not None:
        (tree / "boot/grub/grub.cfg").write_text(config)
    disk = file_disk(tmp_path / "disk", 16 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), disk.path], check=True)
    assert Handover(console).load([loop(Path(disk.path))]) is False
    assert "kexec is not possible" in printed.getvalue()
