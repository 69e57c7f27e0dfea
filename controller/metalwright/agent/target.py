# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system of the written image, mounted; and paths in it that can not lead out of it.

The image is somebody else's: a link in it may point anywhere, a name may be a device. So paths are resolved here as the
installed system would resolve them, below the mount point, and files are made anew and renamed into place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from .abort import Abort
from .children import run
from .errors import CommandFailed, StepFailed
from .partitions import Partition

MOUNT_POINTS = Path("/run/metalwright")
_ROOT_FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs")
_BTRFS_ROOTS = ("subvol=root", "subvol=@")  # Fedora, Ubuntu; tried after the file system's own default
_OPTIONS = "nodev,nosuid,noexec"
_MOST_LINKS = 40  # as the kernel: path_resolution(7)


def unmount_leftovers() -> None:
    """Unmount what an agent before this one was killed over: a disk in use can not be written. Raises ``CommandFailed``."""
    for where in MOUNT_POINTS.glob("*"):
        if where.is_mount():
            run(["umount", str(where)], Abort())


@contextmanager
def mounted(partition: Partition, abort: Abort, *, writable: bool = False, options: str = "", name: str = "") -> Iterator[Path]:
    """Mount a partition for the time of the body and give its path. Raises ``CommandFailed``; unmounting also writes all out.

    ``name`` is that of the mount point; a partition that is mounted a second time (another subvolume) needs one of its own.
    """
    where = MOUNT_POINTS / (name or partition.path.name)
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = ",".join(part for part in ("rw" if writable else "ro", _OPTIONS, options) if part)
    run(["mount", "-t", partition.filesystem, "-o", chosen, str(partition.path), str(where)], abort)
    try:
        yield where
    finally:
        # Not through the job's own abort: what is mounted is unmounted in any case.
        run(["umount", str(where)], Abort())
        where.rmdir()


@contextmanager
def root_mounted(partitions: list[Partition], abort: Abort, *, writable: bool = False) -> Iterator[tuple[Partition, Path]]:
    """Find and mount the root of the installed system: the first file system with an ``/etc/os-release``.

    Raises ``StepFailed`` (``no_root_filesystem``) naming what is there instead.
    """
    reasons = []
    for partition in partitions:
        if partition.filesystem not in _ROOT_FILESYSTEMS:
            continue
        for options in ("", *(_BTRFS_ROOTS if partition.filesystem == "btrfs" else ())):
            with ExitStack() as stack:
                try:
                    root = stack.enter_context(mounted(partition, abort, writable=writable, options=options))
                except CommandFailed as error:
                    reasons.append(str(error))
                    continue
                if os.path.lexists(root / "etc/os-release"):
                    yield partition, root
                    return
    seen = ", ".join(f"{partition.path} ({partition.filesystem or 'unknown'})" for partition in partitions) or "no partition"
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise StepFailed("no_root_filesystem", f"no file system of the image has /etc/os-release; there is: {seen}{why}")


def resolve(root: Path, path: str) -> Path:
    """Return where ``path`` of the installed system is below ``root``, following links as the installed system would.

    Components that do not exist are kept as they are. Raises ``StepFailed`` (``seed_failed``) for a path that is not absolute,
    contains ``..`` or NUL, and for links without an end.
    """
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise StepFailed("seed_failed", f"not a clean absolute path: {path!r}")
    waiting = list(reversed(pure.parts[1:]))
    at: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part in ("", ".", "/"):
            continue
        if part == "..":  # of a link; as with chroot(2) it ends at the root
            at = at[:-1]
            continue
        here = root.joinpath(*at, part)
        if not here.is_symlink():
            at.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise StepFailed("seed_failed", f"too many symbolic links in {path!r}")
        points_to = here.readlink()
        if points_to.is_absolute():
            at = []
        waiting.extend(reversed(points_to.parts))
    return root.joinpath(*at)


def make_directory(root: Path, path: str, mode: int) -> Path:
    """Make a directory of the installed system with ``mode``, its parents with 0755; return its place. Raises ``OSError``."""
    place = resolve(root, path)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.mkdir(mode=mode, exist_ok=True)
    return place


def put_file(root: Path, path: str, content: bytes, mode: int) -> None:
    """Write a file of the installed system, owned by root; one that is there is replaced, also if it is a link or a device."""
    place = _place(root, path)
    fresh = place.with_name(f".{place.name}.metalwright")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        os.fchmod(handle, stat.S_IMODE(mode))
    fresh.replace(place)


def put_link(root: Path, path: str, points_to: str) -> None:
    """Make a symbolic link in the installed system; ``points_to`` is what it says, it is not followed here."""
    place = _place(root, path)
    place.unlink(missing_ok=True)
    place.symlink_to(points_to)


def _place(root: Path, path: str) -> Path:
    """Return where the entry ``path`` belongs, its directory made; the entry itself is not followed when it is a link."""
    pure = PurePosixPath(path)
    if pure.name in ("", ".."):
        raise StepFailed("seed_failed", f"not the path of a file: {path!r}")
    directory = make_directory(root, str(pure.parent), 0o755)
    return directory / pure.name
