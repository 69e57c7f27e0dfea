# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the host that builds and imports need: looked for before the work starts, named with their package."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metalwright.errors import MetalwrightError, Unavailable

Progress = Callable[[str, float | None], None]
"""Told what goes on and how much of the whole is done (0 to 1), or None where nobody can know."""

# The names are the same in Debian 12 and Ubuntu 24.04.
_PACKAGES = {
    "grub-mkstandalone": "grub-common",
    "chroot": "coreutils",
    "e2fsck": "e2fsprogs",
    "grub-mkimage": "grub-common",
    "mcopy": "mtools",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mksquashfs": "squashfs-tools",
    "mmd": "mtools",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "sgdisk": "gdisk",
    "xz": "xz-utils",
    "zstd": "zstd",
}
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAIL_LINES = 15


class BuildFailed(MetalwrightError):
    """A program that a build started has failed; ``details`` hold its ``returncode`` and last lines (``log_tail``)."""


def require(*tools: str) -> None:
    """Raise ``Unavailable`` (``tools_missing``) that names what to install unless all of ``tools`` are installed."""
    missing = [tool for tool in tools if shutil.which(tool, path=_SEARCH) is None]
    if missing:
        packages = sorted({_PACKAGES[tool] for tool in missing})
        raise Unavailable(
            "tools_missing",
            f"This needs {', '.join(missing)}, not installed on this host.",
            f"apt-get install {' '.join(packages)}",
            tools=missing,
            packages=packages,
        )


def require_file(path: Path, package: str) -> None:
    """Raise ``Unavailable`` (``tools_missing``) that names the package to install unless ``path`` is there.

    For what a program needs and does not look for before it starts: modules, firmware, loaders.
    """
    if not path.exists():
        raise Unavailable(
            "tools_missing",
            f"This needs {path}, not installed on this host.",
            f"apt-get install {package}",
            tools=[str(path)],
            packages=[package],
        )


def run(
    command: Sequence[str], *, on_line: Callable[[str], None] | None = None, environ: Mapping[str, str] | None = None
) -> None:
    """Run ``command`` to its end; ``on_line`` gets every line it prints.

    Raises ``BuildFailed`` (``build_failed``) with the last lines it printed (``log_tail``). The message has the first of them
    that says ``E: ``, as apt's errors do, since those after it are its consequences; else the last. The environment holds only
    a search path, a locale and ``environ``, so that a build does not depend on who starts it.
    """
    tail: list[str] = []
    with subprocess.Popen(
        list(command),
        env={"PATH": _SEARCH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        for raw in process.stdout:
            line = raw.rstrip()
            tail = [*tail[1 - _TAIL_LINES :], line]
            if on_line is not None:
                on_line(line)
    if process.returncode != 0:
        text = "\n".join(tail)
        reason = next((line for line in tail if line.startswith("E: ")), tail[-1] if tail else "").removeprefix("E: ")
        said = f"{command[0]} ended with {process.returncode}: {reason}"
        raise BuildFailed("build_failed", said, log_tail=text, returncode=process.returncode)
