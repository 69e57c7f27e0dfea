# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that a test finds at a running controller."""

from __future__ import annotations

from typing import Any

from running_controller import RunningController

from metalwright.config import Settings
from metalwright.store import Store
from metalwright.store.models import Image, Interface, Machine

MACS = iter(f"52:54:00:11:00:{number:02x}" for number in range(256))


def add(controller: RunningController, name: str, *options: str) -> None:
    """Add a machine by command; it is new."""
    controller.json("machine", "add", name, "--mac", next(MACS), *options)


def add_ready(controller: RunningController, name: str, **columns: Any) -> None:
    """A machine as commissioning leaves it, or as ``columns`` say, and an image."""
    disks = [{"name": "vda", "size_bytes": 8 << 30, "rotational": False, "removable": False, "model": "QEMU"}]
    facts: dict[str, Any] = {"state": "ready", "hardware": {"disks": disks}, "cpu_count": 2, "memory_mib": 2048, "disk_gib": 8}
    store = Store(Settings(data_dir=controller.data).database)
    with store.write() as session:
        machine = Machine(name=name, **facts | columns)
        machine.interfaces = [Interface(mac=next(MACS), boot=True)]
        session.add(machine)
        if session.query(Image).filter_by(name="debian/12").first() is None:
            image = {"firmware": ["bios", "uefi"], "format": "raw.zst", "content_sha256": "5" * 64}
            session.add(Image(name="debian/12", stored_bytes=300 << 20, image_bytes=2 << 30, **image))
    store.engine.dispose()
