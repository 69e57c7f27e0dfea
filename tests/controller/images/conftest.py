# SPDX-License-Identifier: GPL-3.0-or-later
"""Small disks that are real: partitioned by sgdisk, with data, zeros and holes."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from image_server import Server

MIB = 1 << 20


def pattern(seed: int, size: int) -> bytes:
    """Bytes that do not compress and are the same in every run."""
    return hashlib.shake_128(str(seed).encode()).digest(size)


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk of 12 MiB with boot code, an EFI system partition and a root."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    with path.open("wb") as out:
        out.truncate(12 * MIB)
    subprocess.run(
        ["sgdisk", "--new=1:2048:+2M", "--typecode=1:EF00", "--new=2:0:0", "--typecode=2:8304", path],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with path.open("r+b") as out:
        out.write(b"\xeb\x63\x90boot code")
        out.seek(4 * MIB)
        out.write(pattern(1, 2 * MIB))
        out.seek(9 * MIB + 512)
        out.write(pattern(2, 4096))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The directory images are imported into."""
    return tmp_path / "images"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between tries of a download are noted, not waited for."""
    pauses: list[float] = []
    sleep: Callable[[float], None] = pauses.append
    monkeypatch.setattr("metalwright.images.sources.HttpSource.pause", staticmethod(sleep))
    return pauses
