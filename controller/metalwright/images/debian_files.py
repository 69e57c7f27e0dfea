# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the Debian image that are ours: what differs from a plain Debian, and why."""

from __future__ import annotations

CONSOLE = "console=tty0 console=ttyS0,115200 panic=15"  # a machine that panics comes back by itself

BEFORE_PACKAGES = {
    # What MODULES=most has, less what no root disk of a PC hangs on (network, storage networks, buses of ARM boards):
    # a third of the size, for firmware that reads it and processors that unpack it.
    "etc/initramfs-tools/conf.d/metalwright": "MODULES=list\nCOMPRESS=zstd\nRESUME=none\n",
    "etc/initramfs-tools/hooks/metalwright": """#!/bin/sh
# The drivers of every local disk, for whatever machine this system is started on next.
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
auto_add_modules ata block mmc usb_storage
copy_modules_dir kernel/drivers/scsi be2iscsi bfa bnx2fc bnx2i csiostor cxgbi fcoe fnic libfc lpfc pcmcia qedf qedi \\
    qla2xxx qla4xxx scsi_debug.ko snic
copy_modules_dir kernel/drivers/message/fusion
copy_modules_dir kernel/drivers/usb/host
manual_add_modules ext4 vfat virtio_pci virtio_mmio hv_vmbus hv_storvsc hyperv-keyboard xen-blkfront
manual_add_modules atkbd i8042 hid-generic usbhid
""",
    # A PC's floppy drive, mostly an emulated and empty one: every look at it takes a second.
    "etc/modprobe.d/metalwright.conf": "blacklist floppy\n",
    # The root partition, the last one, takes the rest of the disk at boot, its file system by x-systemd.growfs in fstab:
    # what cloud-init's growpart and resizefs do, in a tenth of the time. repart.d(5).
    "etc/repart.d/50-root.conf": "[Partition]\nType=root\n",
    "etc/default/grub": f"""\
# Read by update-grub.
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="{CONSOLE}"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --speed=115200"
GRUB_DISABLE_OS_PROBER=true
""",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/kernel-img.conf": "do_symlinks = yes\nlink_in_boot = no\n",
    "etc/cloud/ds-identify.cfg": "policy: enabled\n",  # datasource_list says it all; nothing to be searched for
    "etc/cloud/cloud.cfg.d/10_metalwright.cfg": """\
# Of the image. What a deployment adds is in 90_metalwright.cfg, and user-data wins over both.
datasource_list: [NoCloud, None]
apt:
  preserve_sources_list: true
system_info:
  network:
    renderers: [netplan]
# systemd-repart and systemd-growfs have done it; "mode: auto" here or in user-data lets cloud-init try as well.
growpart: {mode: "off"}
resize_rootfs: false
# An RSA key takes many seconds to find on slow processors; every OpenSSH since 2014 knows these.
ssh_genkeytypes: [ed25519, ecdsa]
# Debian's lists, less modules for other systems (snap, lxd, fan, landscape, reset_rmc, refresh_rmc_and_interface,
# rightscale_userdata, disable-ec2-metadata), for a package that is not here (grub-dpkg), and what prints host keys on the
# console (keys-to-console, ssh-authkey-fingerprints): each costs time at every boot.
cloud_init_modules: [migrator, seed_random, bootcmd, write-files, growpart, resizefs, disk_setup, mounts, set_hostname,
  update_hostname, update_etc_hosts, ca-certs, rsyslog, users-groups, ssh]
cloud_config_modules: [ssh-import-id, keyboard, locale, set-passwords, apt-pipelining, apt-configure, ntp, timezone,
  runcmd, byobu]
cloud_final_modules: [package-update-upgrade-install, write-files-deferred, puppet, chef, ansible, mcollective, salt-minion,
  scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, install-hotplug, phone-home,
  final-message, power-state-change]
""",
    "etc/systemd/system-preset/10-metalwright.preset": """\
# Downloads, indexes and checks that nobody asked for at boot; enable what you want.
disable apt-daily.timer
disable apt-daily-upgrade.timer
disable dpkg-db-backup.timer
disable e2scrub_all.timer
disable e2scrub_reap.service
disable fstrim.timer
enable systemd-networkd.service
enable systemd-resolved.service
enable systemd-timesyncd.service
enable ssh.service
""",
}

DISABLED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
)
ENABLED_UNITS = ("systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service", "ssh.service")

REMOVED = (
    "etc/hostname",
    "etc/resolv.conf.dpkg*",
    "etc/ssh/ssh_host_*",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/*_*",
    "var/lib/dpkg/*-old",
    "var/log/*.log",
    "var/log/apt/*",
)
"""Of one machine only, or made anew when needed."""


def fstab(root_uuid: str, esp_serial: str) -> str:
    """Return ``/etc/fstab``. The EFI system partition is mounted when somebody looks into it."""
    return (
        f"UUID={root_uuid} / ext4 errors=remount-ro,x-systemd.growfs 0 1\n"
        f"UUID={esp_serial} /boot/efi vfat umask=0077,nofail,x-systemd.automount,x-systemd.idle-timeout=60 0 2\n"
    )


def grub_cfg(root_uuid: str, kernel: str, initrd: str) -> str:
    """Return the first ``/boot/grub/grub.cfg``; update-grub replaces it when a kernel is installed."""
    return f"""\
# Of the image; update-grub replaces it.
serial --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=0
menuentry 'Debian GNU/Linux' {{
    search --no-floppy --fs-uuid --set=root {root_uuid}
    linux {kernel} root=UUID={root_uuid} ro {CONSOLE} quiet
    initrd {initrd}
}}
"""


def esp_grub_cfg(root_uuid: str) -> str:
    """Return what Debian's signed GRUB reads in ``/EFI/debian`` of the EFI system partition."""
    return f"search.fs_uuid {root_uuid} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
