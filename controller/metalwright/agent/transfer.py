# SPDX-License-Identifier: GPL-3.0-or-later
"""The line an image goes through: receive and hash | decompress | skip or write. Each has a thread of its own.

Writing goes past the page cache (``O_DIRECT``, open(2)): it is filled with what nobody reads again, takes a copy of every
byte, and would tell of a write error only at the very end.
"""

from __future__ import annotations

import hashlib
import mmap
import time
from collections.abc import Iterator

from .direct import direct, write_all
from .disks import human_size
from .errors import Aborted, StepFailed
from .expand import Copy, Expander, Zstd
from .line import Channel, Line
from .work import Work

_PIECE_BYTES, _PIECES = 1 << 20, 4
_BLOCK_BYTES, _BLOCKS = 4 << 20, 4
_HOLE_BYTES = 256 << 10
_ZEROS = bytearray(_HOLE_BYTES)
_SAY_EVERY = 5.0

Filled = tuple[memoryview, int]
"""A buffer and how many bytes of it count."""


class Transfer:
    """Takes the image from the bytes served to the disk, once."""

    def __init__(self, form: str, work: Work) -> None:
        """``form`` is ``raw`` or ``raw.zst``. Raises ``StepFailed`` (``agent_error``) for any other."""
        if form not in ("raw", "raw.zst"):
            raise StepFailed("agent_error", f"this agent can not write the format {form!r}")
        self._expander: Expander = Zstd() if form == "raw.zst" else Copy()
        self._work = work
        self._line = Line()
        self._pieces: Channel[Filled] = Channel(self._line)
        self._blocks: Channel[Filled] = Channel(self._line)
        # Anonymous maps begin at a page, as O_DIRECT wants it.
        self._spare_pieces = Channel(self._line, *(memoryview(mmap.mmap(-1, _PIECE_BYTES)) for _ in range(_PIECES)))
        self._spare_blocks = Channel(self._line, *(memoryview(mmap.mmap(-1, _BLOCK_BYTES)) for _ in range(_BLOCKS)))

    def take(self) -> memoryview:
        """Return a buffer to receive into."""
        return self._spare_pieces.take()

    def run(self, received: Iterator[Filled], total: int, target: int, sparse: bool, image_bytes: int) -> str:
        """Pass on everything that is received and return its sha256; at the end ``image_bytes`` were written to ``target``.

        ``total``: bytes to be received. With ``sparse`` zeros are stepped over. Raises ``StepFailed``: ``image_corrupt``,
        ``write_failed``, and what ``received`` raises.
        """
        self._line.start(self._expand)
        self._line.start(lambda: self._write(target, sparse, image_bytes))
        abort = self._work.abort
        try:
            with abort.cancelling(lambda: self._line.fail(Aborted(abort.reason))):
                digest = self._receive(received, total)
                self._line.join()
        except BaseException as error:
            self._line.fail(error)
            self._line.join()  # raises the first error, which may be another thread's
            raise
        return digest

    def _receive(self, received: Iterator[Filled], total: int) -> str:
        digest = hashlib.sha256()
        done = 0
        began = said = time.monotonic()
        for buffer, count in received:
            digest.update(buffer[:count])
            self._pieces.put((buffer, count))
            done += count
            now = time.monotonic()
            rate = megabytes_per_second(done, now - began)
            self._work.report("write", 100 * done / total, rate, done, total)
            if now - said >= _SAY_EVERY:
                said = now
                self._work.console.say(f"write: {100 * done // total} % of {human_size(total)}, {rate}")
        self._pieces.close()
        return digest.hexdigest()

    def _expand(self) -> None:
        block, filled = self._spare_blocks.take(), 0
        while (piece := self._pieces.get()) is not None:
            buffer, count = piece
            source = buffer[:count]
            while True:
                taken, given = self._expander.step(source, block[filled:])
                source = source[taken:]
                filled += given
                if filled < len(block):
                    break
                self._blocks.put((block, filled))
                block, filled = self._spare_blocks.take(), 0
            self._spare_pieces.put(buffer)
        self._expander.finish()
        self._blocks.put((block, filled))
        self._blocks.close()

    def _write(self, target: int, sparse: bool, image_bytes: int) -> None:
        direct(target, True)
        offset = 0
        while (block := self._blocks.get()) is not None:
            buffer, count = block
            if offset + count > image_bytes:
                raise StepFailed("image_corrupt", f"the image is larger than the {image_bytes} bytes it should have")
            for start, end in _extents(buffer, count) if sparse else [(0, count)]:
                _write(target, buffer[start:end], offset + start)
            offset += count
            self._spare_blocks.put(buffer)
        if offset != image_bytes:
            raise StepFailed("image_corrupt", f"the image has {offset} bytes, should have {image_bytes}")


def _extents(buffer: memoryview, count: int) -> Iterator[tuple[int, int]]:
    """Yield what is between the holes, as (start, end)."""
    start = None
    for at in range(0, count, _HOLE_BYTES):
        part = buffer[at : min(at + _HOLE_BYTES, count)]
        # The bytearray stands on the left: it compares by memcmp, where a memoryview would go item by item.
        is_hole = _ZEROS == part if len(part) == _HOLE_BYTES else not any(part)  # noqa: SIM300
        if is_hole and start is not None:
            yield start, at
            start = None
        elif not is_hole and start is None:
            start = at
    if start is not None:
        yield start, count


def _write(target: int, data: memoryview, offset: int) -> None:
    try:
        write_all(target, data, offset)
    except OSError as error:
        raise StepFailed("write_failed", f"can not write to the disk at byte {offset}: {error.strerror}") from error


def megabytes_per_second(size: float, seconds: float) -> str:
    """Return a rate in words."""
    return f"{size / max(seconds, 0.001) / 1e6:.0f} MB/s"
