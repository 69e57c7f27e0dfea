# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels of this checkout's controller, made without a build and without the index: what pip is given to install."""

from __future__ import annotations

import site
import zipfile
from collections.abc import Mapping
from pathlib import Path

CONTROLLER = Path(__file__).resolve().parents[3] / "controller"


def wheel(directory: Path, version: str, more: Mapping[str, str] | None = None) -> Path:
    """A wheel of the controller under that version; ``more`` is appended to files, by their path in the package.

    What it depends on is found where this test finds it.
    """
    path = directory / f"metalwright-{version}-py3-none-any.whl"
    info = f"metalwright-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((CONTROLLER / "metalwright").rglob("*")):
            name = file.relative_to(CONTROLLER).as_posix()
            if file.is_file() and "__pycache__" not in name:
                archive.writestr(name, file.read_bytes() + (more or {}).get(name, "").encode())
        archive.writestr("dependencies.pth", f"{site.getsitepackages()[0]}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: metalwright\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nmetalwright = metalwright.cli:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path
