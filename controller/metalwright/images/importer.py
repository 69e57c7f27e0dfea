# SPDX-License-Identifier: GPL-3.0-or-later
"""Import of disk images: read once, checked, converted to what the agent streams best, kept under the hash of what is served.

    source -> sha256 -> decompress -> (qcow2: file, qemu-img, file) -> zstd -> sha256 -> DIRECTORY/<sha256>.raw.zst

One zstd stream of one kind for every image: its decoder writes runs of zeros as holes (``zstd -d --sparse``), and how fast it
decodes, which is what every machine does, hardly depends on how hard was compressed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from metalwright.errors import Invalid, MetalwrightError, Unavailable
from metalwright.images import formats
from metalwright.images.host_tools import BuildFailed, Progress, require, run
from metalwright.images.scratch import scratch
from metalwright.images.sources import FileSource, Source, open_source
from metalwright.images.streams import Compressor, decompressed

TOOLS = ("zstd", "xz", "qemu-img")
FORMAT = "raw.zst"
_SECTOR = 512
_SHARE_OF_QCOW2 = 0.4
_SHARE_OF_CONVERSION = 0.5
_LEAKS_ONLY = 3  # of qemu-img check: space is wasted, nothing is wrong
_COMPARE = "Compare its size and checksum with the published ones."
_SHA256 = re.compile(r"[0-9a-f]{64}")
_Report = Callable[[], None]


@dataclass(frozen=True)
class Imported:
    """An image in its directory. ``content_sha256`` is of the file that is served, ``image_bytes`` the size of the disk in it."""

    content_sha256: str
    stored_bytes: int
    image_bytes: int
    format: str
    firmware: list[str]
    arch: str


def stored_path(directory: Path, content_sha256: str) -> Path:
    """Return where the image of that content lies in ``directory``."""
    return directory / f"{content_sha256}.{FORMAT}"


def import_image(source: str | Path, *, sha256: str | None, target: Path, progress: Progress) -> Imported:
    """Import an image from a path or http(s) URL into the directory ``target``: raw or qcow2, plain or as .gz, .xz, .zst.

    ``sha256``: hex digest that the source's bytes must have. After any failure ``target`` is as it was. Raises ``NotFound``
    (``image_not_found``), ``Invalid`` (``image_checksum_mismatch``, ``image_format_unknown``, ``image_backing_file_refused``,
    ``image_corrupt``, ``sha256_invalid``), ``Unavailable`` (``image_source_unreachable``, ``disk_full``, ``tools_missing``,
    ``image_store_failed``).
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256.lower()):
        raise Invalid("sha256_invalid", f"{sha256!r} is no sha256: 64 hexadecimal digits.")
    require(*TOOLS)
    reader = _Reader(open_source(source), sha256.lower() if sha256 else None)
    try:
        with scratch(target) as directory:
            return _import(reader, target, directory, progress)
    except OSError as error:
        raise _store_error(target, error) from error


class _Reader:
    """A source's bytes from beginning to end: counted, and their hash compared when all are read."""

    def __init__(self, source: Source, expected: str | None) -> None:
        self.source = source
        self._expected = expected
        self._done = 0

    @property
    def share(self) -> float | None:
        """How much is read, 0 to 1; None where the size is not known."""
        return self._done / self.source.size if self.source.size else None

    def __iter__(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for piece in self.source.chunks():
            digest.update(piece)
            self._done += len(piece)
            yield piece
        if self._expected and digest.hexdigest() != self._expected:
            raise Invalid(
                "image_checksum_mismatch",
                f"{self.source.name} has the sha256 {digest.hexdigest()}, not {self._expected}.",
                "The download is damaged, or the file is another version: compare with the published checksum.",
            )


def _import(reader: _Reader, target: Path, directory: Path, progress: Progress) -> Imported:
    name = reader.source.name
    head, pieces = _peek(reader)
    kind = formats.compression(head)
    if kind is not None:
        head, pieces = _peek(decompressed(pieces, kind, name))
    if not formats.is_qcow2(head):
        return _store(head, pieces, name, target, directory, lambda: progress(f"reading {name}", reader.share))
    formats.check_qcow2(head, name)

    def reading() -> None:
        progress(f"reading {name}", None if reader.share is None else reader.share * _SHARE_OF_QCOW2)

    qcow2 = _as_file(reader.source if kind is None else None, pieces, directory / "disk.qcow2", reading)
    progress("converting qcow2 to raw", _SHARE_OF_QCOW2)
    raw = directory / "disk.raw"
    _convert(qcow2, raw, name)
    if directory in qcow2.parents:
        qcow2.unlink()
    whole = _Reader(FileSource(raw), None)

    def compressing() -> None:
        progress("compressing", _SHARE_OF_CONVERSION + (whole.share or 0.0) * (1 - _SHARE_OF_CONVERSION))

    head, pieces = _peek(whole)
    return _store(head, pieces, name, target, directory, compressing)


def _peek(pieces: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first ``HEAD_BYTES`` and an iterator over everything, those included."""
    rest = iter(pieces)
    begin: list[bytes] = []
    while sum(map(len, begin)) < formats.HEAD_BYTES and (piece := next(rest, None)) is not None:
        begin.append(piece)
    return b"".join(begin)[: formats.HEAD_BYTES], chain(begin, rest)


def _as_file(source: Source | None, pieces: Iterator[bytes], path: Path, report: _Report) -> Path:
    """Return the path of a file with ``pieces``: the ``source`` itself if it is a file already, else ``path``."""
    if isinstance(source, FileSource):
        for _ in pieces:  # for the checksum
            report()
        return source.path
    with path.open("wb") as out:
        for piece in pieces:
            out.write(piece)
            report()
    return path


def _convert(qcow2: Path, raw: Path, name: str) -> None:
    """Convert a qcow2. Checked first: what is cut off its end would be read as zeros, without an error."""
    try:
        run(["qemu-img", "check", "-q", "-f", "qcow2", str(qcow2)])
    except BuildFailed as error:
        if error.details["returncode"] != _LEAKS_ONLY:
            raise _corrupt(name, error) from error
    try:
        run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(qcow2), str(raw)])
    except BuildFailed as error:
        if os.strerror(errno.ENOSPC) in error.details["log_tail"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise _corrupt(name, error) from error


def _corrupt(name: str, error: BuildFailed) -> Invalid:
    lines = error.details["log_tail"].splitlines()
    return Invalid("image_corrupt", f"{name} is damaged or incomplete: {lines[0] if lines else error.message}", _COMPARE)


def _store(head: bytes, pieces: Iterator[bytes], name: str, target: Path, directory: Path, report: _Report) -> Imported:
    disk = formats.inspect_raw(head, name)
    part = directory / "part"
    with Compressor(part) as compressor:
        for piece in pieces:
            compressor.write(piece)
            report()
        compressor.write(bytes(-compressor.taken % _SECTOR))
        compressor.finish()
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(stored_path(target, compressor.sha256))
    return Imported(compressor.sha256, compressor.size, compressor.taken, FORMAT, disk.firmware, disk.arch)


def _store_error(target: Path, error: OSError) -> MetalwrightError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable("disk_full", f"There is no room left in {target}.", "Make room, then import again.")
    return Unavailable("image_store_failed", f"{target} can not be written: {error.strerror or error}")
