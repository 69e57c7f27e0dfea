# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab needs of the host, checked before anything is touched."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lab.domain import OVMF_CODE
from metalwright.lab.spec import Places
from metalwright.serve.package_cache import SUPPORT

# What must be there, and the package of Debian and Ubuntu that brings it. Files by pattern, programs by name.
NEEDED = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "qemu-system-x86_64": "qemu-system-x86",
    "dnsmasq": "dnsmasq-base",
    "apt-cacher-ng": "apt-cacher-ng",
    "socat": "socat",
    "ssh-keygen": "openssh-client",
    str(SUPPORT / "in.acng"): "apt-cacher-ng",
    str(OVMF_CODE): "ovmf",
    "/usr/lib/ipxe/qemu/pxe-virtio.rom": "ipxe-qemu",
    "/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so": "libvirt-daemon-driver-qemu",
}
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def check_root() -> None:
    """Raise ``MetalwrightError("root_needed")`` for anyone else."""
    if os.geteuid() != 0:
        raise MetalwrightError(
            "root_needed",
            "The lab makes a network namespace and virtual machines on a bridge in it; only root may.",
            "Run it with sudo.",
        )


def check() -> None:
    """Raise ``Unavailable`` that says what to install (``tools_missing``) or to load (``tun_missing``)."""
    check_root()
    missing = {thing: package for thing, package in NEEDED.items() if not _there(thing)}
    if missing:
        packages = sorted(set(missing.values()))
        raise Unavailable(
            "tools_missing",
            f"The lab needs what is not installed on this host: {', '.join(missing)}.",
            f"apt-get install {' '.join(packages)}",
            packages=packages,
        )
    if not Path("/dev/net/tun").exists():
        raise Unavailable("tun_missing", "/dev/net/tun is missing: this kernel can not give machines a network.", "modprobe tun")


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """Hold the lab's directory, so that it is not made and removed at the same time.

    Raises ``Conflict("lab_busy")`` when another process holds it.
    """
    places.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = os.open(places.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict(
            "lab_busy", f"Another command is making or removing the lab in {places.root}.", "Wait until it has ended."
        ) from None
    finally:
        os.close(directory)


def _there(thing: str) -> bool:
    if not thing.startswith("/"):
        return shutil.which(thing, path=PATH) is not None
    return any(Path("/").glob(thing.removeprefix("/")))
