# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer of cpio archives as Linux unpacks them for its initramfs.

Format "newc" of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Owner is root and time is zero,
so the same content gives the same bytes.
"""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import BinaryIO

_BLOCK = 512
"""Archives are padded to whole blocks; another archive may then follow, as boot loaders concatenate them."""


class NewcWriter:
    """Writes one archive to ``out``; call ``close`` to end it. Directories come before what they hold."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0
        self._inode = 0

    def directory(self, name: str) -> None:
        """Add a directory of mode 0755."""
        self._header(name, stat.S_IFDIR | 0o755, 0)

    def data(self, name: str, content: bytes, *, mode: int = 0o644) -> None:
        """Add a file."""
        self._header(name, stat.S_IFREG | mode, len(content))
        self._write(content)
        self._align(4)

    def file(self, name: str, source: Path, *, mode: int = 0o644) -> None:
        """Add a file of the host without reading it into memory."""
        size = source.stat().st_size
        self._header(name, stat.S_IFREG | mode, size)
        with source.open("rb") as stream:
            shutil.copyfileobj(stream, self._out, 1 << 20)
        self._written += size
        self._align(4)

    def symlink(self, name: str, to: str) -> None:
        """Add a symbolic link."""
        content = to.encode()
        self._header(name, stat.S_IFLNK | 0o777, len(content))
        self._write(content)
        self._align(4)

    def character_device(self, name: str, major: int, minor: int) -> None:
        """Add a character device of mode 0600."""
        self._header(name, stat.S_IFCHR | 0o600, 0, device=(major, minor))

    def close(self) -> None:
        """Write the trailer; ``out`` stays open."""
        self._header("TRAILER!!!", 0, 0)
        self._align(_BLOCK)

    def _header(self, name: str, mode: int, size: int, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self._inode, mode, 0, 0, links, 0, size, 0, 0, *device, len(encoded), 0)
        self._write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self._align(4)

    def _write(self, content: bytes) -> None:
        self._out.write(content)
        self._written += len(content)

    def _align(self, to: int) -> None:
        self._write(b"\0" * (-self._written % to))
