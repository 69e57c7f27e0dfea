# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed streams by the programs that do it best: whole images pass through, never kept in memory."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from metalwright.errors import Invalid, MetalwrightError

CHUNK = 1 << 20
_DECOMPRESS = {
    "gz": ["gzip", "--decompress", "--stdout", "--quiet"],
    "xz": ["xz", "--decompress", "--stdout", "--quiet", "--threads=0"],
    "zst": ["zstd", "--decompress", "--stdout", "--quiet", "--long=31"],
}
# No checksum of zstd's own: the file's sha256 says the same, and machines need not compute both.
_COMPRESS = ["zstd", "-6", "--threads=0", "--no-check", "--quiet", "--stdout"]


def decompressed(pieces: Iterable[bytes], kind: str, name: str) -> Iterator[bytes]:
    """Yield what ``pieces`` (compressed by ``kind``: gz, xz, zst) hold; ``name`` is for messages.

    ``pieces`` is iterated by another thread; what it raises is raised here. All of it is read even where the decompressor has
    given up, so that a checksum at its end is heard of first. Raises ``Invalid`` (``image_corrupt``).
    """
    with subprocess.Popen(_DECOMPRESS[kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: S101
        feeder = _Feeder(pieces, process.stdin)
        feeder.start()
        try:
            while piece := process.stdout.read(CHUNK):
                yield piece
            complaint = process.stderr.read().decode(errors="replace").strip()
            feeder.join()
            process.wait()
        finally:
            feeder.stop()
            process.kill()
    if feeder.error is not None:
        raise feeder.error
    if process.returncode != 0:
        raise Invalid(
            "image_corrupt",
            f"{name} is damaged or incomplete: {complaint or _DECOMPRESS[kind][0]}",
            "Compare its size and checksum with the published ones.",
        )


class _Feeder(threading.Thread):
    """Writes pieces into a pipe until they end, their source fails, or nobody wants them any more."""

    def __init__(self, pieces: Iterable[bytes], pipe: IO[bytes]) -> None:
        super().__init__(name="image-feeder", daemon=True)
        self.error: Exception | None = None
        self._pieces = pieces
        self._pipe = pipe
        self._stopped = False

    def run(self) -> None:
        """Feed."""
        writing = True
        try:
            for piece in self._pieces:
                if self._stopped:
                    return
                if writing:
                    try:
                        self._pipe.write(piece)
                    except BrokenPipeError:
                        writing = False
        except (OSError, MetalwrightError) as error:
            self.error = error
        finally:
            with suppress(BrokenPipeError):  # the decompressor says itself why it went
                self._pipe.close()

    def stop(self) -> None:
        """End after the piece that is on its way."""
        self._stopped = True


class Compressor:
    """A zstd stream into the file ``path``; a context manager, whose end on an exception kills the program.

    After ``finish``: ``sha256`` (hex) and ``size`` are of the file, ``taken`` is the number of bytes that were compressed.
    """

    def __init__(self, path: Path) -> None:
        self.sha256 = ""
        self.size = 0
        self.taken = 0
        self._path = path
        self._error: OSError | None = None
        self._process = subprocess.Popen(_COMPRESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._keeper = threading.Thread(target=self._keep, name="image-keeper", daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._keeper.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # noqa: S101 - asked for above
            with suppress(BrokenPipeError):  # what was buffered is of no use any more
                pipe.close()
        self._process.wait()

    def write(self, piece: bytes) -> None:
        """Take the next bytes. Raises ``OSError`` where the file can not be written."""
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(piece)
        except BrokenPipeError:
            self._keeper.join()
            raise self._error or OSError("zstd ended early") from None
        self.taken += len(piece)

    def finish(self) -> None:
        """Complete the file and see it on the disk. Raises ``OSError`` where that fails."""
        assert self._process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # told below
            self._process.stdin.close()
        self._keeper.join()
        if self._error is not None or self._process.wait() != 0:
            raise self._error or OSError("zstd has failed")

    def _keep(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        digest = hashlib.sha256()
        try:
            with self._path.open("wb") as out:
                while piece := self._process.stdout.read(CHUNK):
                    digest.update(piece)
                    out.write(piece)
                    self.size += len(piece)
        except OSError as error:
            self._error = error
            self._process.kill()
        self.sha256 = digest.hexdigest()
