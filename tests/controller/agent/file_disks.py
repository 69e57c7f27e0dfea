# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are plain files."""

from __future__ import annotations

from pathlib import Path

from metalwright.agent.disks import Disk


def file_disk(path: Path, size: int) -> Disk:
    """A plain file that stands for a disk."""
    with path.open("ab") as stream:
        stream.truncate(size)
    return Disk(path.name, str(path), f"serial-{path.name}", path.name, "", "A file", size, False, "other", False)
